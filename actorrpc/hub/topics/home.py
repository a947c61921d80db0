"""The home's half of topics: it has what is published numbered (``numbered_log``), and sends it to the hubs
that subscribe.

No more waits in a link than ``room`` allows. A hub whose link is full is behind: the log notes the last
number that it was sent, and goes on from there when there is room again. If some of that has been dropped by
then, the hub is told so.

A hub that becomes the home after another has died knows nothing of its subscribers, and they do not come
at once: their hubs may be in the middle of a turn. So in its new slots it keeps a log of every topic,
subscribed or not, until each hub has said Rejoined: a subscriber of an earlier epoch can still come, and
begins with the first message here. It goes on so for ``LINGER`` seconds more, for subscriptions that were
moving meanwhile.

If the home before lives, it hands its logs over (``handover``), and subscribers come from where they stood in
them. Then they are kept as long, but no log is begun for topics that nobody has subscribed to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from time import monotonic

from actorrpc.hub.topics.handover import Arrivals, Departure, Departures
from actorrpc.hub.topics.homes import Homes, Place
from actorrpc.hub.topics.numbered_log import LINGER, Entry, TopicLog, TopicLogs
from actorrpc.hub.topics.publications import Publication
from actorrpc.hub.topics.succession import Step, Steps
from actorrpc.pb import control_pb2

__all__ = ["Home"]


@dataclass
class _Awaiting:
    """The slots of one term: the hubs that have not rejoined, and how long to go on once they all have."""

    hubs: set[int]
    #: Subscribers may come for topics of which there is no log.
    partial: bool = False
    #: Topics had to be forgotten, so that no topic here is known from its beginning.
    forgotten: bool = False
    until: float = field(init=False, default=0.0)
    #: That all have rejoined has been told.
    told: bool = False

    def discard(self, hub: int) -> None:
        self.hubs.discard(hub)
        if not self.hubs and not self.until:
            self.until = monotonic() + LINGER


class Home:
    """The topics that one hub is the home of. ``send(hub, message)`` may be to this hub itself; ``room(hub)``
    is asked before a delivery to another, and ``released(departure)`` is called when slots are another's."""

    def __init__(
        self,
        hub: int,
        process: str,
        send: Callable[[int, control_pb2.HubToHub], None],
        room: Callable[[int], bool],
        released: Callable[[Departure], None],
    ) -> None:
        self._hub = hub
        self._send = send
        self._room = room
        self._homes = Homes.alone(hub)
        self._released = released
        self.logs = TopicLogs(process, self._forgotten)
        #: What it hands over to others, and what is handed over to it.
        self.departures = Departures(send, room, released)
        self.arrivals = Arrivals()
        self._dead: set[int] = set()
        #: By term.
        self._awaiting: dict[int, _Awaiting] = {}
        #: By hub: the topics in whose logs it is behind. A dict in place of a set, for its order.
        self._behind: dict[int, dict[str, None]] = {}

    def set_homes(self, before: Homes, after: Homes, steps: Steps, peers: Collection[int]) -> None:
        """Go by other homes, which slots have got by these steps. ``peers`` are the other hubs, some of which
        may have died unnoticed, or have no link now."""
        self._homes = after
        self._leave(before, steps, peers)
        if before.version:  # else nobody can have subscribed
            arrived = {
                (step.place[1], step.origin): step for step in steps.values() if step.place[0] == self._hub
            }
            for step in arrived.values():
                self._arrive(step, peers)
        terms = {term for hub, term in after.places if hub == self._hub}
        self._awaiting = {term: each for term, each in self._awaiting.items() if term in terms}

    def _leave(self, before: Homes, steps: Steps, peers: Collection[int]) -> None:
        """Hand over what another hub gets of this one; what nobody has asked for is dropped."""
        given: dict[Place, dict[int, Step]] = {}
        for slot, step in steps.items():
            if step.origin == self._hub:
                given.setdefault(step.place, {})[slot] = step
        leaving: dict[Place, dict[str, TopicLog]] = {}
        if any(before.hubs[slot] == self._hub for slot in steps):
            for topic, log in self.logs.give(lambda topic: self._homes.where(topic)[0] != self._hub).items():
                leaving.setdefault(self._homes.where(topic), {})[topic] = log
        for place, some in given.items():
            departure = self._departure(before, place, {*some}, leaving.get(place, {}))
            self._hand_over(departure, some.values(), peers)

    def _departure(
        self, before: Homes, place: Place, slots: set[int], logs: dict[str, TopicLog]
    ) -> Departure:
        """What there is here of slots that get another home: because they were this hub's, with these logs,
        or because the one that they were handed over to has not got all, and has died."""
        departure = self.departures.withdraw(slots, lambda topic: self._homes.where(topic) == place)
        departure.place = place
        own = {slot for slot in slots if before.hubs[slot] == self._hub}
        departure.partial |= not slots <= departure.slots | own
        departure.slots = slots
        departure.logs |= logs
        for term in {before.terms[slot] for slot in own} & {*self._awaiting}:
            departure.partial |= self._awaiting[term].partial
            departure.forgotten |= self._awaiting[term].forgotten
        return departure

    def _hand_over(self, departure: Departure, steps: Iterable[Step], peers: Collection[int]) -> None:
        home = departure.place[0]
        if home == self._hub:  # the one that was to have it has died
            self.logs.take(departure.logs)
            for step in steps:
                step.released = departure.released()
            self._released(departure)
        elif home not in peers and home not in self._dead:  # they have never had a link
            departure.partial = True
            self._released(departure)
        else:  # if it has died, another gets the slots next
            self.departures.begin(departure)
            self.departures.flush(home)

    def _arrive(self, step: Step, peers: Collection[int]) -> None:
        """Become the home of slots, with all that has been handed over of them."""
        term = step.place[1]
        awaiting = self._awaiting.get(term)
        if awaiting is None:
            awaiting = self._awaiting[term] = _Awaiting({*peers, self._hub})
            awaiting.discard(self._hub)  # it asks at once
        if step.origin is None or step.released is None:
            awaiting.partial = True
            return
        logs, forgotten = self.arrivals.take(step.origin, term)
        self.logs.take(logs)
        awaiting.partial |= step.released.partial
        awaiting.forgotten |= step.released.forgotten or forgotten

    def settled(self) -> list[int]:
        """The terms in which all hubs have turned to this one since it was asked last."""
        settled = [term for term, each in self._awaiting.items() if not each.hubs and not each.told]
        for term in settled:
            self._awaiting[term].told = True
        return settled

    @property
    def unsettled(self) -> set[int]:
        """The terms in which some hubs have not turned to this one."""
        return {term for term, each in self._awaiting.items() if each.hubs}

    def rejoined(self, hub: int, term: int) -> None:
        """A hub has asked for all that it wants, in the slots of a term."""
        if (awaiting := self._awaiting.get(term)) is not None:
            awaiting.discard(hub)

    def _awaited(self, topic: str) -> _Awaiting | None:
        """Where subscribers may come who have heard nothing of this home yet."""
        return self._awaiting.get(self._homes.where(topic)[1]) if self._awaiting else None

    def _forgotten(self, topic: str) -> None:
        if (awaiting := self._awaited(topic)) is not None:
            awaiting.forgotten = True

    def _begin(self, topic: str, late: bool = False) -> TopicLog:
        """The topic's log, and if there is none, a new one. ``late``: it is for one who has heard the topic
        before, so that there has been one, or every message here would be in one."""
        awaiting = self._awaited(topic)
        if awaiting is None or not awaiting.partial:
            return self.logs.get(topic, lost=int(late or (awaiting is not None and awaiting.forgotten)))
        return self.logs.get(topic, lost=int(awaiting.forgotten))

    def subscribe(self, source: int, request: control_pb2.Subscribe) -> None:
        """Send a hub what comes after a position, as far as it is still kept, and all that is published."""
        log = self._begin(request.topic, late=bool(request.epoch))
        log.subscribers.add(source)
        start = min(log.start_for(request.epoch, request.sequence), log.behind.get(source, log.head))
        answer = self._subscribed(request.topic, log, start)
        answer.subscribed.request = request.request
        self._send(source, answer)
        log.behind.pop(source, None)
        if start < log.head:
            self._leave_behind(source, request.topic, log, start)
            self.send_waiting(source)

    def unsubscribe(self, source: int, request: control_pb2.Unsubscribe) -> None:
        self.logs.unsubscribe(request.topic, source)

    def publish_once(self, source: int, publication: Publication | control_pb2.Publish) -> None:
        """Number what a hub publishes and send it on, unless that has been done: what a hub has not heard to
        be acknowledged, because a link has broken, it publishes again."""
        log = self.logs.logs.get(publication.topic)
        if log is not None and publication.request <= log.numbered.get(source, 0):
            return
        self.publish(publication.topic, publication.type, publication.payload)
        if (log := self.logs.logs.get(publication.topic)) is not None:
            log.numbered[source] = publication.request

    def publish(self, topic: str, type: str, payload: bytes) -> None:
        """Number a message and send it on."""
        log = self.logs.logs.get(topic)
        awaiting = self._awaited(topic)
        if log is None:
            if awaiting is None or not awaiting.partial:
                return  # nobody subscribes, nor is a subscriber on its way
            log = self._begin(topic)
        entry = self.logs.append(log, type, payload, monotonic(), awaiting is not None)
        if not log.subscribers:
            return
        delivery = self._delivery(topic, log, entry)
        for hub in list(log.subscribers):
            if hub in log.behind:
                continue
            if hub == self._hub or self._room(hub):
                self._send(hub, delivery)
            else:
                self._leave_behind(hub, topic, log, entry.sequence - 1)

    def _leave_behind(self, hub: int, topic: str, log: TopicLog, sequence: int) -> None:
        log.behind[hub] = sequence
        self._behind.setdefault(hub, {})[topic] = None

    def send_waiting(self, hub: int) -> None:
        """Send a hub what has been kept back, a message of each topic in turn, while there is room."""
        topics = self._behind.get(hub, {})
        while topics and (hub == self._hub or self._room(hub)):
            topic = next(iter(topics))
            del topics[topic]
            log = self.logs.logs.get(topic)
            if log is not None and hub in log.behind:
                self._send_next(hub, topic, log)
        if not topics:
            self._behind.pop(hub, None)

    def _send_next(self, hub: int, topic: str, log: TopicLog) -> None:
        sent = log.behind.pop(hub)
        if sent < log.kept:
            sent = log.kept
            message = self._subscribed(topic, log, sent)
        else:
            sent += 1
            message = self._delivery(topic, log, log.entry(sent))
        if sent < log.head:  # before it is sent: that may make room, or end the subscription
            self._leave_behind(hub, topic, log, sent)
        else:
            self.logs.trim(log)
        self._send(hub, message)

    def _subscribed(self, topic: str, log: TopicLog, sequence: int) -> control_pb2.HubToHub:
        return control_pb2.HubToHub(
            subscribed=control_pb2.Subscribed(
                topic=topic,
                epoch=log.epoch,
                sequence=sequence,
                head=log.head,
                kept=log.kept,
                term=self._homes.where(topic)[1],
            )
        )

    def _delivery(self, topic: str, log: TopicLog, entry: Entry) -> control_pb2.HubToHub:
        return control_pb2.HubToHub(
            deliver=control_pb2.Deliver(
                topic=topic,
                epoch=log.epoch,
                sequence=entry.sequence,
                type=entry.type,
                payload=entry.payload,
                term=self._homes.where(topic)[1],
            )
        )

    def unlinked(self, hub: int) -> None:
        """There is no link to a hub: it subscribes anew when there is one, and hands over again what has not
        come wholly."""
        self.logs.forget_hub(hub)
        self._behind.pop(hub, None)
        self.arrivals.drop_incomplete(hub)

    def forget_hub(self, hub: int) -> None:
        """A hub is dead: it subscribes to nothing, and will not come."""
        self.logs.forget_hub(hub)
        self._behind.pop(hub, None)
        self._dead.add(hub)
        self.arrivals.drop(hub)
        for awaiting in self._awaiting.values():
            awaiting.discard(hub)

    def linked(self, hub: int) -> None:
        """There is a link to a hub, which has heard nothing of this one yet."""
        self._dead.discard(hub)
        self.departures.begin_again(hub)

    def sweep(self, now: float) -> None:
        """Drop what nobody will ask for."""
        for term, awaiting in list(self._awaiting.items()):
            if awaiting.until and now > awaiting.until:
                del self._awaiting[term]
        self.logs.sweep(now, lambda topic: self._awaited(topic) is not None)

    def __repr__(self) -> str:
        return (
            f"<Home {self.logs!r}, {len(self._behind)} hubs behind, {len(self._awaiting)} terms awaited, "
            f"{self.departures!r}>"
        )
