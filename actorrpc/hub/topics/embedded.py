"""The engine of topics that needs nothing but the hubs themselves.

Each topic has a home hub, which numbers its messages (``home``). A hub with subscribers has one feed of the
topic from there (``feeds``), and what is published on a hub goes there (``publisher``). This file joins the
three: it takes what other hubs say, and tells all three of new homes, in the right order.

A home that lives may be told to hand topics over to another hub (``handover``). Hubs turn to the new home
when the old one has said its last (``succession``), and nobody notices.

A link that ends says nothing of the hub at its other end: the broker says which hubs live. What was under way
over it is said again when there is another. Only where no broker says so, a hub to which there is no link is
taken for dead.

When a home dies, its topics begin a new epoch at another hub. Subscribers go on from the epoch's beginning;
publications that were not acknowledged are published again, so they may come twice. Whatever is said by a hub
that is not the present home is ignored: see ``homes``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any

from actorrpc.hub.metering.rates import Rates
from actorrpc.hub.topics.feeds import Feeds
from actorrpc.hub.topics.handover import Departure, Releases
from actorrpc.hub.topics.home import Home
from actorrpc.hub.topics.homes import Homes, Place
from actorrpc.hub.topics.outbox import Outboxes
from actorrpc.hub.topics.publisher import Publisher
from actorrpc.hub.topics.succession import Steps, Succession
from actorrpc.loop.timers import every
from actorrpc.pb import control_pb2

__all__ = ["EmbeddedTopics"]

_SWEEP_INTERVAL = 10.0

#: Topics whose rates are kept.
_MAX_RATES = 1024


class EmbeddedTopics:
    """The topics of one hub, where homes and subscribers are hubs of one server: an ``engine.Topics``.

    ``send(hub, message)`` drops what cannot be sent because the hub is dead. ``room(hub)`` says whether
    anything that may wait can be sent to another hub now; ``has_room`` is to be called when that changes to
    yes, ``linked`` when there is a link to a hub, ``unlinked`` when there is none any more.

    ``settled(version)`` is called when this hub has all slots that it got with a version, and all hubs have
    turned to it.
    """

    def __init__(
        self,
        hub: int,
        process: str,
        send: Callable[[int, control_pb2.HubToHub], None],
        room: Callable[[int], bool] = lambda hub: True,
        settled: Callable[[int], object] = lambda version: None,
    ) -> None:
        self._hub = hub
        self._send_to_hub = send
        self._settled = settled
        #: The hubs that there are links to; and those that live. None: nobody says so, and these do.
        self._peers: set[int] = set()
        self._living: frozenset[int] | None = None
        #: What it has let go of, for those to whom there was no link.
        self._releases = Releases()
        #: What it has been told of homes.
        self.succession = Succession(hub)
        self._home = Home(hub, process, self._send, room, self._tell_released)
        #: What is published from here, and what its feeds bring: each message once, however many get it.
        self._published, self._delivered = Rates(_MAX_RATES), Rates(_MAX_RATES)
        self._feeds = Feeds(hub, self._tell_home, self._delivered)
        self._outboxes = Outboxes(send, room, self._feeds.question, self._home.send_waiting)
        self._publisher = Publisher(
            hub,
            self._home.publish,
            partial(self._home.publish_once, hub),
            self._outboxes.publish,
            self._published,
        )
        # For connections: see ``engine.Topics``.
        self.subscribe, self.unsubscribe = self._feeds.subscribe, self._feeds.unsubscribe
        self.thaw, self.catch_up = self._feeds.thaw, self._feeds.catch_up
        self.catch_up_soon = self._feeds.catch_up_soon
        self.publish, self.reserve = self._publisher.publish, self._publisher.reserve
        #: What names a term that this hub has not learnt of yet, and who sent it.
        self._early: list[tuple[int, control_pb2.HubToHub]] = []
        #: What this hub says to itself. It is heard one by one, as if it came over a link.
        self._own: deque[control_pb2.HubToHub] = deque()
        self._hearing = False
        #: What is said to a home, and what a home says.
        self._requests: dict[str, Callable[[int, Any], None]] = {
            "subscribe": self._home.subscribe,
            "unsubscribe": self._home.unsubscribe,
            "publish": self._hear_publication,
        }
        self._answers: dict[str, Callable[[int, control_pb2.HubToHub], None]] = {
            "subscribed": self._feeds.hear_subscribed,
            "deliver": self._feeds.hear_delivery,
            "published": self._publisher.hear_published,
        }
        #: What is said of homes that change.
        self.successions: dict[str, Callable[[int, control_pb2.HubToHub], None]] = {
            "handover": self._hear_handover,
            "received": lambda source, message: self._home.departures.received(
                source, message.received.version
            ),
            "released": self._hear_released,
            "rejoined": self._hear_rejoined,
        }
        self._sweeper = every(_SWEEP_INTERVAL, lambda: self._home.sweep(monotonic()), ref=False)

    def heard(self, group: str, now: float) -> float:
        return self._delivered.rate(group, now)

    def traffic(self, group: str, now: float) -> float:
        heard = self._feeds.subscribers(group) * self._delivered.rate(group, now)
        return self._published.rate(group, now) + heard

    def close(self) -> None:
        self._sweeper.close()

    @property
    def homes(self) -> Homes:
        """Those that this hub goes by."""
        return self.succession.homes

    def home_of(self, topic: str) -> int:
        """The hub that numbers the topic's messages, as far as this one knows."""
        return self.homes.where(topic)[0]

    def has_room(self, hub: int) -> None:
        """Send a hub what has waited for room in the link to it, as far as there is some."""
        self._home.departures.flush(hub)
        self._outboxes.flush(hub)

    def set_homes(
        self,
        homes: Sequence[int],
        version: int | None = None,
        terms: Sequence[int] = (),
        origins: Mapping[int, int] | None = None,
        living: Collection[int] | None = None,
    ) -> None:
        """Learn which hub is whose home; what is under way to a home that has changed is sent again.

        What the links to hubs that have died still hold is to be received before. ``origins`` says by slot
        which living hub hands it over to its home; without ``terms``, a home that stays keeps its own.
        ``living`` are the hubs that live; None: nobody says so.
        """
        version = self.homes.version + 1 if version is None else version
        if version < self.homes.version:
            return
        self._learn_living(living)
        before, origins = self.homes, origins or {}
        self.succession.learn(version, homes, terms, origins)
        self._releases.keep({(homes[slot], terms[slot]) for slot in origins if terms})
        self._home.departures.keep(
            {slot for slot in range(len(self.homes.hubs)) if origins.get(slot % len(homes)) == self._hub}
        )
        if not before.version:
            self._go_by(before, {}, {*self.homes.places})
        self._advance()
        self._hear_early()

    def _advance(self) -> None:
        """Go by other homes, as far as those before have released what was theirs."""
        before = self.homes
        while steps := self.succession.advance(self._peers if self._living is None else self._living):
            self._go_by(before, steps, {step.place for step in steps.values()})
            self._hear_early()  # which may come here again
            before = self.homes
        self._tell_settled()

    def _go_by(self, before: Homes, steps: Steps, places: set[Place]) -> None:
        after = self.homes
        self._home.set_homes(before, after, steps, self._others)
        moved = self._feeds.set_homes(after)
        self._publisher.set_homes(after)
        self._outboxes.keep(after, self._feeds.concerns)
        # What this hub answers itself is heard when all has been published again: an answer may let
        # publications go that were made later.
        hearing, self._hearing = self._hearing, True
        try:
            self._feeds.ask_anew(moved)
            for home, term in sorted(places - self.succession.coming):
                if home != self._hub:
                    self._outboxes.rejoin(home, term)
            self._publisher.publish_moved()
        finally:
            self._hearing = hearing
        self._hear_own()

    def _hear_early(self) -> None:
        early, self._early = self._early, []
        for source, message in early:
            self.receive(source, message)

    def linked(self, hub: int) -> None:
        """There is a link to a hub, which has heard nothing of this one yet."""
        if hub in self._peers:  # by another link, which this one replaces
            self._begin_anew(hub)
        self._peers.add(hub)
        self._home.linked(hub)
        for message in self._releases.messages:
            self._send_to_hub(hub, message)
        self._outboxes.begin_again(hub)
        self._feeds.linked(hub)
        for home, term in sorted({*self.homes.places} - self.succession.coming):
            if home == hub:
                self._outboxes.rejoin(home, term)
        self._publisher.linked(hub)
        self.has_room(hub)

    def unlinked(self, hub: int) -> None:
        """The link to a hub has ended, and all that came over it has been received."""
        self._peers.discard(hub)
        if self._living is None or hub not in self._living:
            self._died(hub)
        else:
            self._begin_anew(hub)

    def _begin_anew(self, hub: int) -> None:
        """Forget what a hub says again over its next link."""
        self._home.unlinked(hub)
        self._feeds.unlinked(hub)
        self._early = [(source, message) for source, message in self._early if source != hub]

    def broker_gone(self) -> None:
        """Nobody says any more which hubs live."""
        self._learn_living(None)

    def may_live(self, hub: int) -> bool:
        """Whether another hub may live, as far as has been told."""
        return hub in self._others

    @property
    def _others(self) -> set[int]:
        """All other hubs that may live."""
        return (self._peers | (self._living or set())) - {self._hub}

    def _learn_living(self, living: Collection[int] | None) -> None:
        before, self._living = self._living or frozenset(), None if living is None else frozenset(living)
        for hub in sorted(before - (self._peers if self._living is None else self._living) - {self._hub}):
            self._died(hub)
        if self._living is not None:
            self._home.logs.keep_publishers(self._others | {self._hub})

    def _died(self, hub: int) -> None:
        """A hub will say no more than what the link to it still holds."""
        self._home.forget_hub(hub)
        self._outboxes.hub_died(hub)
        self._feeds.unlinked(hub)
        self._early = [
            (source, message)
            for source, message in self._early
            if source != hub or message.WhichOneof("kind") == "publish"
        ]
        self._advance()

    def receive(self, source: int, message: control_pb2.HubToHub) -> None:
        """Take a message about topics from a hub, which may be this one."""
        kind = message.WhichOneof("kind") or ""
        if kind in self._answers:
            self._answers[kind](source, message)
        elif kind in self._requests:
            self._hear_request(source, kind, message)
        elif kind in self.successions:
            self.successions[kind](source, message)

    def _hear_request(self, source: int, kind: str, message: control_pb2.HubToHub) -> None:
        request = getattr(message, kind)
        home, term = self.homes.where(request.topic)
        if request.term > term:
            self._early.append((source, message))
        elif home == self._hub and (request.term == term or not request.term):
            self._requests[kind](source, request)
        # Else its sender has not learnt yet that the topic has another home, and will ask that one.

    def _hear_publication(self, source: int, request: control_pb2.Publish) -> None:
        self._home.publish_once(source, request)
        published = control_pb2.Published(request=request.request, term=request.term)
        self._send(source, control_pb2.HubToHub(published=published))

    def _hear_rejoined(self, source: int, message: control_pb2.HubToHub) -> None:
        term = message.rejoined.version
        if term > self.homes.version or (self._hub, term) in self.succession.coming:
            self._early.append((source, message))
        else:
            self._home.rejoined(source, term)
            self._tell_settled()

    def _hear_handover(self, source: int, message: control_pb2.HubToHub) -> None:
        version, complete = message.handover.version, message.handover.last
        if self.succession.arriving(source, version):
            complete = self._home.arrivals.hear(source, message.handover)
        # Else this hub has gone on without it, taking it for dead; and who waits for its release has not.
        if complete:
            received = control_pb2.Received(version=version)
            self._send_to_hub(source, control_pb2.HubToHub(received=received))

    def _hear_released(self, source: int, message: control_pb2.HubToHub) -> None:
        if message.released.version > self.homes.version:
            self._early.append((source, message))
        else:
            self.succession.release(source, message.released)
            self._advance()

    def _tell_released(self, departure: Departure) -> None:
        """Tell all others that they have been told all about slots that were this hub's."""
        message = control_pb2.HubToHub(released=departure.released())
        self._releases.note(departure.place, message)
        for hub in [*self._peers]:
            self._send_to_hub(hub, message)

    def tell_settled_again(self) -> None:
        """Tell all that has settled, also what was told before: to another broker, which may not know."""
        terms = {term for home, term in {*self.homes.places} - self.succession.coming if home == self._hub}
        for term in sorted(terms - self._home.unsettled):
            self._settled(term)

    def _tell_settled(self) -> None:
        for term in self._home.settled():
            self._settled(term)

    def _tell_home(self, topic: str) -> None:
        """Tell the topic's home whether it is wanted here, and from where."""
        home = self.home_of(topic)
        if home == self._hub:
            self.receive(home, self._feeds.question(topic))
        elif self._feeds.concerns(topic):
            self._outboxes.ask(home, topic)
        else:
            self._outboxes.withdraw(home, topic)

    def _send(self, hub: int, message: control_pb2.HubToHub) -> None:
        """Say something to a hub at once, which may be this one."""
        if hub != self._hub:
            self._send_to_hub(hub, message)
            return
        self._own.append(message)
        self._hear_own()

    def _hear_own(self) -> None:
        if self._hearing:
            return
        self._hearing = True
        try:
            while self._own:
                self.receive(self._hub, self._own.popleft())
        finally:
            self._hearing = False

    def __repr__(self) -> str:
        return f"<EmbeddedTopics {self._feeds!r}, {self._publisher!r}, {self._home!r}>"
