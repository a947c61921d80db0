"""Topics as the connections of one hub see them: publishing, and subscriptions that are cursors.

Each topic has a home hub, which numbers its messages (``topic_home``). A hub with subscribers has one feed of
the topic from there. A subscription is a position (epoch and number) and takes exactly the message after it:
what it has had already it skips, and what it missed, because it was moving, its hub came late or its actor
was slow, the home sends again from the position.

The home gets publications in the order in which one connection made them: a connection does not move
while one of its publications is unacknowledged, so the next cannot overtake it by another way.

When a home dies, its topics begin a new epoch at another hub. Subscribers go on from the epoch's
beginning; publications that were not acknowledged are published again, so they may come twice. Whatever
another than the present home says is ignored: see ``topic_homes``.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.metering.rates import Rates, counted_as
from actorrpc.hub.phase import FROZEN
from actorrpc.hub.topics.home import Home
from actorrpc.hub.topics.homes import Homes, names
from actorrpc.hub.topics.numbered_log import Entry, TopicLogs
from actorrpc.hub.topics.outbox import Outbox
from actorrpc.hub.topics.publications import Publication, Publications, check_size
from actorrpc.log import about
from actorrpc.loop.timers import after, every
from actorrpc.pb import control_pb2

if TYPE_CHECKING:
    from actorrpc.hub.actors.cell import Cell
    from actorrpc.hub.actors.service_host import Carrier as Connection
    from actorrpc.hub.calls.call import ServerCall as Call

__all__ = ["Subscription", "Topics"]

log = logging.getLogger("actorrpc.hub")

#: Topic messages that wait for an actor, and their bytes, beyond which its topics wait at their homes.
MAX_WAITING = 1024
MAX_WAITING_BYTES = 4 * 1024 * 1024

#: How long an actor waits for others before what it has missed is asked for.
_GATHER = 0.02

_SWEEP_INTERVAL = 10.0

#: Topics whose rates are kept.
_MAX_RATES = 1024

#: The epoch of a question for all that there is.
_ANY = "*"

#: Send a message to another hub; what cannot be sent because the hub is dead is dropped.
SendToHub = Callable[[int, control_pb2.HubToHub], None]


class Subscription:
    """A position in a topic, for one call or actor."""

    __slots__ = ("behind", "call", "cell", "connection", "epoch", "group", "sequence", "topic")

    def __init__(
        self,
        connection: Connection,
        cell: Cell,
        topic: str,
        call: Call[Any] | None,
        epoch: str = "",
        sequence: int = 0,
    ) -> None:
        self.connection = connection
        self.cell = cell
        self.topic = topic
        #: What the topic is counted as.
        self.group = counted_as(topic)
        self.call = call
        self.epoch = epoch
        #: The last message it was given.
        self.sequence = sequence
        #: Too much waits for the actor, so that messages have been left at the home.
        self.behind = False

    @property
    def pending(self) -> bool:
        """The home has not said yet where it begins."""
        return not self.epoch

    def take(self, entry: Entry) -> None:
        """Hand on the message after the position; ignore every other."""
        if entry.sequence != self.sequence + 1 or self.connection.phase.state == FROZEN:
            return
        if self.call is None:
            self._take_as_turn(entry)
            return
        self.sequence = entry.sequence
        wanted = self.call.route.method.reply.DESCRIPTOR.full_name
        if entry.type == wanted:
            self.call.send_published(entry.payload)
        else:
            log.error(
                "topic %r: a %s was published, and %s sends %s",
                self.group,
                entry.type,
                self.call.method,
                wanted,
                extra=about(self.call.method),
            )
            self.call.stop(StatusCode.INTERNAL, "a topic carried a message of another type")

    def _take_as_turn(self, entry: Entry) -> None:
        cell = self.cell
        waiting, size = cell.topic_turns, cell.topic_bytes + len(entry.payload)
        if waiting and (waiting >= MAX_WAITING or size > MAX_WAITING_BYTES):
            self.behind = True  # the home keeps them meanwhile
            self.connection.host.behind[self] = None
            return
        self.sequence = entry.sequence
        cell.push_topic(self.topic, entry.type, entry.payload)
        self.connection.schedule.ready(cell)

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!r} at {self.epoch}:{self.sequence}>"


class _Feed:
    """The messages of one topic, on their way to the subscriptions of this hub."""

    __slots__ = ("asked", "delivered", "epoch", "group", "head", "request", "subscriptions", "topic")

    def __init__(self, topic: str, group: str) -> None:
        self.topic = topic
        #: What the topic is counted as.
        self.group = group
        #: "" until the home has answered.
        self.epoch = ""
        #: The last message that was numbered, as far as is known, and the last one that came: the next to
        #: come has the number after that.
        self.head = 0
        self.delivered = 0
        #: The position that the home is asked from and has not answered, and the number of the question.
        self.asked: tuple[str, int] | None = None
        self.request = 0
        #: In order. A dict in place of a set, for that.
        self.subscriptions: dict[Subscription, None] = {}

    def want(self, epoch: str, sequence: int) -> bool:
        """Add a position to what the home is asked for. False: the answer to come brings it anyhow."""
        if self.asked is None:
            self.asked = epoch, sequence
            return True
        before, number = self.asked
        if not epoch or before == _ANY or (before == epoch and number <= sequence):
            return False
        # Which of two epochs is the one of now, the home knows.
        self.asked = (epoch, sequence) if before in ("", epoch) else (_ANY, 0)
        return True


class Topics:
    """The topics of one hub, embedded engine: homes and subscribers are hubs of one server.

    ``room(hub)`` is whether anything that may wait can be sent to another hub now; ``has_room`` is to be
    called when it has become so, ``linked`` when there is a link to a hub, ``hub_died`` when there is none.
    """

    def __init__(
        self, hub: int, generation: int, send: SendToHub, room: Callable[[int], bool] = lambda hub: True
    ) -> None:
        self._hub = hub
        self._send_to_hub = send
        self._room = room
        self._homes = Homes.alone(hub)
        self._home = Home(hub, generation, self._send_to, room)
        self._feeds: dict[str, _Feed] = {}
        #: The same by what their topics are counted as.
        self._groups: dict[str, _Feed] = {}
        self._requests = count(1)
        self._publications = Publications()
        self._outboxes: dict[int, Outbox] = {}
        self._flushing: set[int] = set()
        #: Topics whose home, another hub, has been asked for them.
        self._subscribed: set[str] = set()
        #: What names a term that this hub has not learnt of yet, and who sent it.
        self._early: list[tuple[int, control_pb2.HubToHub]] = []
        #: What this hub says to itself. It is heard one by one, as if it came over a link.
        self._own: deque[control_pb2.HubToHub] = deque()
        self._hearing = False
        #: Those that are to catch up soon. A dict in place of a set, for its order.
        self._late: dict[Subscription, None] = {}
        #: What is published from here, and what its feeds bring: each message once, however many get it.
        self._published, self._delivered = Rates(_MAX_RATES), Rates(_MAX_RATES)
        self._sweeper = every(_SWEEP_INTERVAL, self._sweep, ref=False)

    def close(self) -> None:
        self._sweeper.close()

    def _sweep(self) -> None:
        self._home.sweep(monotonic())

    @property
    def _logs(self) -> TopicLogs:
        return self._home.logs

    # ---- subscribing

    def subscribe(
        self, connection: Connection, cell: Cell, topic: str, call: Call[Any] | None
    ) -> Subscription:
        """Begin a subscription at what is published from now on.

        ``connection.host.settled`` is called once, perhaps at once, when it has begun. Raises RpcError for a
        name that is too long to be sent.
        """
        check_size(topic)
        subscription = Subscription(connection, cell, topic, call)
        feed = self._join(subscription)
        if subscription.pending and feed.epoch:
            self._begin(subscription, feed.epoch, feed.head)
        return subscription

    def thaw(self, subscription: Subscription) -> None:
        """Register a subscription of a connection that is arriving; ``catch_up`` follows when it serves.

        Its topic is fed to this hub from now on, so that the home does not forget the topic meanwhile.
        """
        self._join(subscription)

    def catch_up(self, subscription: Subscription) -> None:
        """Have the home send what came after the position, if this hub's feed is beyond it."""
        feed = self._feeds.get(subscription.topic)
        if feed is not None and self._misses(feed, subscription):
            self._ask(feed, subscription)

    def _misses(self, feed: _Feed, subscription: Subscription) -> bool:
        """Whether the next messages will be none that it can take."""
        if not feed.epoch or subscription.behind or subscription not in feed.subscriptions:
            return False  # then the home's answer sees to it, or the actor's next turn
        return subscription.epoch != feed.epoch or subscription.sequence < feed.delivered

    def catch_up_soon(self, subscription: Subscription) -> None:
        """As ``catch_up``, with others that come soon: the home sends what they have missed once, to all."""
        if not self._late:
            after(_GATHER, self._catch_up_late)
        self._late[subscription] = None

    def _catch_up_late(self) -> None:
        late, self._late = self._late, {}
        feeds: dict[str, list[Subscription]] = {}
        for each in late:
            feed = self._feeds.get(each.topic)
            if feed is not None and each.connection.phase.state != FROZEN and self._misses(feed, each):
                feeds.setdefault(each.topic, []).append(each)
        for topic, missing in feeds.items():
            if (feed := self._feeds.get(topic)) is not None:
                self._ask(feed, *missing)

    def may_send_more(self, cell: Cell) -> bool:
        """Whether an actor has taken half of what may wait for it, so that it is worth while to ask again."""
        return cell.topic_turns <= MAX_WAITING // 2 and cell.topic_bytes <= MAX_WAITING_BYTES // 2

    def unsubscribe(self, subscription: Subscription) -> None:
        feed = self._feeds.get(subscription.topic)
        if feed is None or subscription not in feed.subscriptions:
            return
        del feed.subscriptions[subscription]
        if not feed.subscriptions:
            del self._feeds[feed.topic], self._groups[feed.group]
            self._say(feed.topic)

    def _join(self, subscription: Subscription) -> _Feed:
        topic = subscription.topic
        feed = self._feeds.get(topic)
        if feed is None:
            feed = self._feeds[topic] = self._groups[subscription.group] = _Feed(topic, subscription.group)
            feed.subscriptions[subscription] = None
            self._ask(feed, subscription)
        else:
            feed.subscriptions[subscription] = None
        return feed

    def _begin(self, subscription: Subscription, epoch: str, sequence: int) -> None:
        subscription.epoch, subscription.sequence = epoch, sequence
        subscription.connection.host.settled()

    def _ask(self, feed: _Feed, *subscriptions: Subscription) -> None:
        """Ask the home for what comes after their positions, if what is asked already does not bring it."""
        if [each for each in subscriptions if feed.want(each.epoch, each.sequence)]:
            self._ask_now(feed)

    def _ask_now(self, feed: _Feed) -> None:
        feed.request = next(self._requests)
        self._say(feed.topic)

    def _ask_anew(self, feed: _Feed) -> None:
        """Ask a home that knows nothing of this hub."""
        feed.epoch, feed.asked = "", None
        self._ask(feed, *feed.subscriptions)

    def _say(self, topic: str) -> None:
        """Tell the topic's home whether it is wanted here, and from where."""
        home, _ = self._homes.where(topic)
        if home == self._hub:
            self._on_request(self._hub, self._question(topic))
        elif topic in self._feeds or topic in self._subscribed:
            self._outbox(home).topics[topic] = None
            self.has_room(home)
        else:
            self._outbox(home).topics.pop(topic, None)

    def _question(self, topic: str) -> control_pb2.HubToHub:
        feed = self._feeds.get(topic)
        home, term = self._homes.where(topic)
        if feed is None:
            self._subscribed.discard(topic)
            return control_pb2.HubToHub(unsubscribe=control_pb2.Unsubscribe(topic=topic, term=term))
        if home != self._hub:
            self._subscribed.add(topic)
        epoch, sequence = feed.asked or (_ANY, 0)
        return control_pb2.HubToHub(
            subscribe=control_pb2.Subscribe(
                topic=topic, epoch=epoch, sequence=sequence, term=term, request=feed.request
            )
        )

    # ---- publishing

    def publish(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> None:
        """Publish; ``acknowledged`` is called when the home has numbered the message, perhaps at once.

        ``group`` is what the topic is counted as. Raises RpcError: RESOURCE_EXHAUSTED for a message that is
        too large, or where too much waits on this hub, UNAVAILABLE where too much waits for the home.
        """
        publication = Publication(topic, type, payload, acknowledged)
        publication.place = self._homes.where(topic)
        try:
            check_size(topic, len(type) + len(payload))
            if publication.place[0] != self._hub:
                self._publications.check(publication)
        except RpcError as error:
            self.refused(error)
            raise
        self._publish(publication, group)

    def reserve(self, publication: Publication) -> None:
        """Count what is to be published later. Raises RpcError as ``publish`` does."""
        try:
            check_size(publication.topic, len(publication.type) + len(publication.payload))
            self._publications.reserve(publication)
        except RpcError as error:
            self.refused(error)
            raise

    def publish_reserved(self, publication: Publication) -> None:
        """Publish what has been ``reserved``: now it is not refused any more."""
        self._publications.release(publication)
        publication.place = self._homes.where(publication.topic)
        self._publish(publication, counted_as(publication.topic))

    def _publish(self, publication: Publication, group: str) -> None:
        self._published.count(group, monotonic())
        if publication.place[0] == self._hub:
            self._number(publication)
            return
        self._publications.add(publication)
        self._send_publication(publication)

    def refused(self, error: RpcError) -> None:
        """Tell the log of a publication that was refused."""
        log.error("a publication was refused: %s", error)

    def _number(self, publication: Publication) -> None:
        """Publish to a topic whose home this hub is."""
        self._home.publish(publication.topic, publication.type, publication.payload)
        publication.acknowledged()

    def _send_publication(self, publication: Publication) -> None:
        home = publication.place[0]
        self._outbox(home).publications.append(publication)
        self.has_room(home)

    # ---- how much is said

    # Topics by what they are counted as: a long name would be compared and sent whole, four times a second.

    def heard(self, group: str, now: float) -> float:
        """Messages a second that each subscription to the topic gets here."""
        return self._delivered.rate(group, now)

    def traffic(self, group: str, now: float) -> float:
        """Messages a second that are published here, and those delivered here to each subscription."""
        feed = self._groups.get(group)
        subscriptions = 0 if feed is None else len(feed.subscriptions)
        return self._published.rate(group, now) + subscriptions * self._delivered.rate(group, now)

    # ---- other hubs, and who is whose home

    def home_of(self, topic: str) -> int:
        """The hub that numbers the topic's messages."""
        return self._homes.where(topic)[0]

    @property
    def homes(self) -> Homes:
        """What this hub has been told last."""
        return self._homes

    def set_homes(
        self,
        homes: Sequence[int],
        version: int | None = None,
        terms: Sequence[int] = (),
        peers: Collection[int] = (),
    ) -> None:
        """Learn which hub is whose home; what is under way to a home that has changed is sent again.

        What the links to hubs that have died still hold is to be received before. ``peers`` are the hubs
        that there are links to; without ``terms``, a home that stays keeps its own.
        """
        before = self._homes
        version = before.version + 1 if version is None else version
        if version < before.version:
            return
        after = self._homes = before.after(version, homes, terms)
        self._home.set_homes(after, peers)
        moved = {topic for topic in self._feeds if before.where(topic) != after.where(topic)}
        self._subscribed = {each for each in self._subscribed if before.where(each) == after.where(each)}
        for outbox in list(self._outboxes.values()):
            self._drop_moved(outbox)
        # What this hub answers itself is heard when all has been published again: an answer may let
        # publications go that were made later.
        hearing, self._hearing = self._hearing, True
        try:
            for topic in moved:
                if (feed := self._feeds.get(topic)) is not None:
                    self._ask_anew(feed)
            for home in {home for home, _ in after.fresh(before)} - {self._hub}:
                self._outbox(home).rejoined = version
                self.has_room(home)
            self._publish_again(lambda publication: publication.place != after.where(publication.topic))
        finally:
            self._hearing = hearing
        self._hear_own()
        early, self._early = self._early, []
        for source, message in early:
            self.receive(source, message)

    def _drop_moved(self, outbox: Outbox) -> None:
        """Keep what is still for the hub: questions about topics, and publications."""
        outbox.topics = {
            topic: None
            for topic in outbox.topics
            if self.home_of(topic) == outbox.hub and (topic in self._feeds or topic in self._subscribed)
        }
        outbox.publications = deque(
            each for each in outbox.publications if each.place == self._homes.where(each.topic)
        )
        if outbox.hub not in self._homes.hubs:
            del self._outboxes[outbox.hub]

    def _publish_again(self, concerns: Callable[[Publication], bool]) -> None:
        for publication in self._publications:
            if not concerns(publication):
                continue
            place = self._homes.where(publication.topic)
            if place[0] != self._hub:
                self._publications.place(publication, place)
                self._send_publication(publication)
            elif self._publications.take(publication.request, lambda place: True) is not None:
                self._number(publication)

    def linked(self, hub: int) -> None:
        """There is a link to a hub, which has heard nothing of this one yet."""
        for feed in list(self._feeds.values()):
            if self.home_of(feed.topic) == hub:
                self._ask_anew(feed)
        if (outbox := self._outboxes.get(hub)) is not None:
            outbox.publications.clear()
        self._publish_again(lambda publication: publication.place[0] == hub)
        self.has_room(hub)

    def hub_died(self, hub: int) -> None:
        """The link to a hub has ended, and all that came over it has been received."""
        self._home.forget_hub(hub)
        if (outbox := self._outboxes.get(hub)) is not None:
            outbox.rejoined = 0  # who comes in its place does not wait for that
        self._subscribed = {topic for topic in self._subscribed if self.home_of(topic) != hub}
        self._early = [
            (source, message)
            for source, message in self._early
            if source != hub or message.WhichOneof("kind") == "publish"
        ]

    def has_room(self, hub: int) -> None:
        """Send a hub what has waited for room in the link to it, as far as there is some."""
        if hub in self._flushing:
            return
        self._flushing.add(hub)
        try:
            outbox = self._outboxes.get(hub)
            while outbox is not None and self._room(hub) and (message := outbox.next()) is not None:
                self._send_to_hub(hub, message)
            self._home.send_waiting(hub)
        finally:
            self._flushing.discard(hub)

    def _outbox(self, hub: int) -> Outbox:
        outbox = self._outboxes.get(hub)
        if outbox is None:
            outbox = self._outboxes[hub] = Outbox(hub, self._question)
        return outbox

    # ---- what hubs say to each other

    def receive(self, source: int, message: control_pb2.HubToHub) -> bool:
        """Take a message from a hub, which may be this one; False if it is not about topics."""
        kind = message.WhichOneof("kind") or ""
        if kind in _REQUESTS:
            self._on_request(source, message)
        elif kind in _ANSWERS:
            _ANSWERS[kind](self, source, message)
        elif kind == "rejoined":
            if message.rejoined.version > self._homes.version:
                self._early.append((source, message))
            else:
                self._home.rejoined(source, message.rejoined.version)
        else:
            return False
        return True

    def _send_to(self, hub: int, message: control_pb2.HubToHub) -> None:
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

    # As the home.

    def _on_request(self, source: int, message: control_pb2.HubToHub) -> None:
        kind = message.WhichOneof("kind") or ""
        request = getattr(message, kind)
        _, term = self._homes.where(request.topic)
        if request.term > term:
            self._early.append((source, message))
        elif request.term == term or not request.term:
            _REQUESTS[kind](self, source, request)
        # Else its sender has not learnt yet that the topic has another home, and will ask that one.

    def _on_subscribe(self, source: int, request: control_pb2.Subscribe) -> None:
        self._home.subscribe(source, request)

    def _on_unsubscribe(self, source: int, request: control_pb2.Unsubscribe) -> None:
        self._home.unsubscribe(source, request)

    def _on_publish(self, source: int, request: control_pb2.Publish) -> None:
        self._home.publish(request.topic, request.type, request.payload)
        published = control_pb2.Published(request=request.request, term=request.term)
        self._send_to(source, control_pb2.HubToHub(published=published))

    # As a subscriber or publisher.

    def _feed(self, source: int, topic: str, term: int) -> _Feed | None:
        """The feed that a hub may say something to: it is the topic's home, and has not been another's."""
        feed = self._feeds.get(topic)
        return feed if feed is not None and names(self._homes.where(topic), source, term) else None

    def _on_subscribed(self, source: int, message: control_pb2.HubToHub) -> None:
        answer = message.subscribed
        feed = self._feed(source, answer.topic, answer.term)
        if feed is None or (answer.request and answer.request != feed.request):
            return  # the second: it was asked again since, or for those that have all gone
        feed.asked = None
        feed.head = max(feed.head, answer.head) if feed.epoch == answer.epoch else answer.head
        feed.epoch, feed.delivered = answer.epoch, answer.sequence
        serving = [
            each for each in feed.subscriptions if each.connection.phase.state != FROZEN
        ]  # others later
        for subscription in serving:
            self._place(subscription, answer)
        self._ask(feed, *(each for each in serving if self._misses(feed, each)))

    def _place(self, subscription: Subscription, answer: control_pb2.Subscribed) -> None:
        if subscription.connection.phase.state == FROZEN:
            return  # it asks again where it is served next
        if subscription.pending:
            self._begin(subscription, answer.epoch, answer.head)
            return
        if subscription.epoch != answer.epoch:
            subscription.epoch, subscription.sequence = answer.epoch, 0
        if subscription.sequence < answer.kept:
            self._lose(subscription, answer.kept)

    def _lose(self, subscription: Subscription, kept: int) -> None:
        """Messages after the position are kept no more, those after ``kept`` are: say so, and go on there.

        A call ends with DATA_LOSS rather than skip messages silently; an actor can only be told in the log.
        """
        log.error(
            "subscription to %r on connection %s fell too far behind: messages %d to %d are lost",
            subscription.group,
            subscription.connection.id,
            subscription.sequence + 1,
            kept,
        )
        subscription.sequence = kept
        if subscription.call is not None:
            subscription.call.stop(StatusCode.DATA_LOSS, f"messages of {subscription.group!r} were lost")

    def _on_deliver(self, source: int, message: control_pb2.HubToHub) -> None:
        delivery = message.deliver
        feed = self._feed(source, delivery.topic, delivery.term)
        if feed is None or feed.epoch != delivery.epoch:
            return
        if delivery.sequence > feed.delivered + 1 and feed.want(feed.epoch, feed.delivered):
            self._ask_now(feed)  # something has not come
        feed.delivered = delivery.sequence
        feed.head = max(feed.head, delivery.sequence)
        self._delivered.count(feed.group, monotonic())
        entry = Entry(delivery.sequence, delivery.type, delivery.payload)
        for subscription in list(feed.subscriptions):
            if subscription.epoch == delivery.epoch:
                subscription.take(entry)

    def _on_published(self, source: int, message: control_pb2.HubToHub) -> None:
        answer = message.published
        publication = self._publications.take(answer.request, lambda place: names(place, source, answer.term))
        if publication is not None:
            publication.acknowledged()

    def __repr__(self) -> str:
        return f"<Topics {len(self._feeds)} feeds, {self._publications!r}, {self._home!r}>"


_REQUESTS: dict[str, Callable[[Topics, int, Any], None]] = {
    "subscribe": Topics._on_subscribe,
    "unsubscribe": Topics._on_unsubscribe,
    "publish": Topics._on_publish,
}
_ANSWERS: dict[str, Callable[[Topics, int, control_pb2.HubToHub], None]] = {
    "subscribed": Topics._on_subscribed,
    "published": Topics._on_published,
    "deliver": Topics._on_deliver,
}
