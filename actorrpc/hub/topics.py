"""Topics as the connections of one hub see them: publishing, and subscriptions that are cursors.

Each topic has a home hub, which numbers its messages. A hub with subscribers has one feed of the topic
from there. A subscription is a position (epoch and number) and takes exactly the message after it: what
it has had already it skips, and what it missed, because it was moving or its hub came late, the home
sends again from the position.

The home gets publications in the order in which one connection made them: a connection does not move
while one of its publications is unacknowledged, so the next cannot overtake it by another way.

When a home dies, its topics begin a new epoch at another hub. Subscribers go on from the epoch's
beginning; publications that were not acknowledged are published again, so one of them may come twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any
from zlib import crc32

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.rates import Rates, counted_as
from actorrpc.hub.state import FROZEN
from actorrpc.hub.topic_log import Entry, TopicLogs
from actorrpc.hub.turns import TOPIC, Cell
from actorrpc.pb import control_pb2
from actorrpc.timers import every

if TYPE_CHECKING:
    from actorrpc.call import Call
    from actorrpc.hub.connection import Connection

__all__ = ["Subscription", "Topics"]

log = logging.getLogger("actorrpc.hub")

#: Publications that may wait for an answer, when the home of their topics cannot be reached.
MAX_UNACKNOWLEDGED = 100_000

#: Turns in an actor's mailbox beyond which its topics wait at their homes.
MAX_WAITING = 1024

_SWEEP_INTERVAL = 10.0

#: Topics whose rates are kept.
_MAX_RATES = 1024

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
        #: The actor's mailbox is full, so that messages have been left at the home.
        self.behind = False

    @property
    def pending(self) -> bool:
        """The home has not said yet where it begins."""
        return not self.epoch

    def take(self, entry: Entry) -> None:
        """Hand on the message after the position; ignore every other."""
        if entry.sequence != self.sequence + 1 or self.connection.state == FROZEN:
            return
        if self.call is None and len(self.cell.mailbox) >= MAX_WAITING:
            self.behind = True  # the home keeps them meanwhile
            return
        self.sequence = entry.sequence
        if self.call is None:
            self.cell.mailbox.append((TOPIC, None, (self.topic, entry.type, entry.payload)))
            self.connection.ready(self.cell)
            return
        wanted = self.call.route.method.reply.DESCRIPTOR.full_name
        if entry.type == wanted:
            self.call.send_published(entry.payload)
        else:
            log.error(
                "topic %r: a %s was published, and %s sends %s",
                self.topic,
                entry.type,
                self.call.method,
                wanted,
            )
            self.call.end(StatusCode.INTERNAL, "a topic carried a message of another type")

    def lost(self, kept: int) -> None:
        """Messages after the position are kept no more, those after ``kept`` are: say so, and go on there.

        A call ends with DATA_LOSS rather than skip messages silently; an actor can only be told in the log.
        """
        log.error(
            "subscription to %r on connection %s fell too far behind: messages %d to %d are lost",
            self.topic, self.connection.id, self.sequence + 1, kept,
        )  # fmt: skip
        self.sequence = kept
        if self.call is not None:
            self.call.end(StatusCode.DATA_LOSS, f"messages of {self.topic!r} were lost")

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!r} at {self.epoch}:{self.sequence}>"


class _Feed:
    """The messages of one topic, on their way to the subscriptions of this hub."""

    __slots__ = ("epoch", "group", "head", "subscriptions")

    def __init__(self, group: str) -> None:
        #: What the topic is counted as.
        self.group = group
        #: "" until the home has answered.
        self.epoch = ""
        #: The last message that came.
        self.head = 0
        self.subscriptions: list[Subscription] = []


class Topics:
    """The topics of one hub, embedded engine: homes and subscribers are hubs of one server."""

    def __init__(self, hub: int, generation: int, send: SendToHub) -> None:
        self._hub = hub
        self._send_to_hub = send
        self._homes: Sequence[int] = (hub,)
        self._logs = TopicLogs(hub, generation)
        self._feeds: dict[str, _Feed] = {}
        #: The same by what their topics are counted as.
        self._groups: dict[str, _Feed] = {}
        self._requests = count(1)
        self._unacknowledged: dict[int, tuple[control_pb2.Publish, Callable[[], None]]] = {}
        #: What is published from here, and what its feeds bring: each message once, however many get it.
        self._published, self._delivered = Rates(_MAX_RATES), Rates(_MAX_RATES)
        self._sweeper = every(_SWEEP_INTERVAL, lambda: self._logs.sweep(monotonic()), ref=False)

    def close(self) -> None:
        self._sweeper.close()

    # ---- subscribing

    def subscribe(
        self, connection: Connection, cell: Cell, topic: str, call: Call[Any] | None
    ) -> Subscription:
        """Begin a subscription at what is published from now on."""
        subscription = Subscription(connection, cell, topic, call)
        feed = self._join(subscription)
        if feed.epoch:
            subscription.epoch, subscription.sequence = feed.epoch, feed.head
        return subscription

    def thaw(self, subscription: Subscription) -> None:
        """Register a subscription of a connection that is arriving; ``catch_up`` follows when it serves.

        Its topic is fed to this hub from now on, so that the home does not forget the topic meanwhile.
        """
        self._join(subscription)

    def catch_up(self, subscription: Subscription) -> None:
        """Have the home send what came after the position, if this hub's feed is beyond it."""
        feed = self._feeds.get(subscription.topic)
        if (
            feed is not None
            and feed.epoch
            and (subscription.epoch, subscription.sequence) != (feed.epoch, feed.head)
        ):
            self._ask(subscription)

    def unsubscribe(self, subscription: Subscription) -> None:
        feed = self._feeds.get(subscription.topic)
        if feed is None or subscription not in feed.subscriptions:
            return
        feed.subscriptions.remove(subscription)
        if not feed.subscriptions:
            del self._feeds[subscription.topic], self._groups[subscription.group]
            message = control_pb2.Unsubscribe(topic=subscription.topic)
            self._send(subscription.topic, control_pb2.HubToHub(unsubscribe=message))

    def _join(self, subscription: Subscription) -> _Feed:
        feed = self._feeds.get(subscription.topic)
        if feed is None:
            feed = self._feeds[subscription.topic] = _Feed(subscription.group)
            self._groups[subscription.group] = feed
            feed.subscriptions.append(subscription)
            self._ask(subscription)
        else:
            feed.subscriptions.append(subscription)
        return feed

    def _ask(self, subscription: Subscription) -> None:
        message = control_pb2.Subscribe(
            topic=subscription.topic, epoch=subscription.epoch, sequence=subscription.sequence
        )
        self._send(subscription.topic, control_pb2.HubToHub(subscribe=message))

    # ---- publishing

    def publish(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> None:
        """Publish; ``acknowledged`` is called when the home has numbered the message, perhaps at once.

        ``group`` is what the topic is counted as.
        Raises RpcError with UNAVAILABLE while too many publications wait for a home that is gone.
        """
        if len(self._unacknowledged) >= MAX_UNACKNOWLEDGED:
            raise RpcError(StatusCode.UNAVAILABLE, f"the home of topic {topic!r} does not answer")
        self._published.count(group, monotonic())
        request = next(self._requests)
        publish = control_pb2.Publish(topic=topic, request=request, type=type, payload=payload)
        self._unacknowledged[request] = (publish, acknowledged)
        self._send(topic, control_pb2.HubToHub(publish=publish))

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

    # ---- what hubs say to each other

    def home_of(self, topic: str) -> int:
        """The hub that numbers the topic's messages."""
        return self._homes[crc32(topic.encode()) % len(self._homes)]

    def set_homes(self, homes: Sequence[int]) -> None:
        """Learn which hub is whose home; what is under way to a home that has changed is sent again."""
        before = {topic: self.home_of(topic) for topic in self._feeds}
        waiting = [(entry, self.home_of(entry[0].topic)) for entry in self._unacknowledged.values()]
        self._homes = homes
        for topic, home in before.items():
            if self.home_of(topic) != home:
                feed = self._feeds[topic]
                feed.epoch = ""
                self._ask(feed.subscriptions[0])
        for (publish, _), home in waiting:
            if self.home_of(publish.topic) != home:
                self._send(publish.topic, control_pb2.HubToHub(publish=publish))

    def hub_died(self, hub: int) -> None:
        self._logs.forget_hub(hub)

    def receive(self, source: int, message: control_pb2.HubToHub) -> bool:
        """Take a message from a hub, which may be this one; False if it is not about topics."""
        handler = _RECEIVE.get(message.WhichOneof("kind") or "")
        if handler is None:
            return False
        handler(self, source, message)
        return True

    def _send(self, topic: str, message: control_pb2.HubToHub) -> None:
        self._send_to(self.home_of(topic), message)

    def _send_to(self, hub: int, message: control_pb2.HubToHub) -> None:
        if hub == self._hub:
            self.receive(hub, message)
        else:
            self._send_to_hub(hub, message)

    # As the home.

    def _on_subscribe(self, source: int, message: control_pb2.HubToHub) -> None:
        request = message.subscribe
        topic_log = self._logs.get(request.topic)
        topic_log.subscribers.add(source)
        start = topic_log.start_for(request.epoch, request.sequence)
        answer = control_pb2.Subscribed(
            topic=request.topic,
            epoch=topic_log.epoch,
            sequence=start,
            head=topic_log.head,
            kept=topic_log.kept,
        )
        self._send_to(source, control_pb2.HubToHub(subscribed=answer))
        for entry in topic_log.after(start):
            self._send_to(source, _deliver(request.topic, topic_log.epoch, entry))

    def _on_unsubscribe(self, source: int, message: control_pb2.HubToHub) -> None:
        self._logs.unsubscribe(message.unsubscribe.topic, source)

    def _on_publish(self, source: int, message: control_pb2.HubToHub) -> None:
        publish = message.publish
        topic_log = self._logs.logs.get(publish.topic)
        if topic_log is not None:  # else nobody subscribes, nor is a subscriber on its way
            delivery = _deliver(
                publish.topic, topic_log.epoch, topic_log.append(publish.type, publish.payload, monotonic())
            )
            for hub in sorted(topic_log.subscribers):
                self._send_to(hub, delivery)
        self._send_to(source, control_pb2.HubToHub(published=control_pb2.Published(request=publish.request)))

    # As a subscriber or publisher.

    def _on_subscribed(self, source: int, message: control_pb2.HubToHub) -> None:
        answer = message.subscribed
        feed = self._feeds.get(answer.topic)
        if feed is None:
            return
        feed.head = max(feed.head, answer.head) if feed.epoch == answer.epoch else answer.head
        feed.epoch = answer.epoch
        for subscription in list(feed.subscriptions):
            self._place(subscription, answer)

    def _place(self, subscription: Subscription, answer: control_pb2.Subscribed) -> None:
        if subscription.connection.state == FROZEN:
            return  # it asks again where it is served next
        if subscription.pending:
            subscription.epoch, subscription.sequence = answer.epoch, answer.head
            subscription.connection.host.settled()
            return
        if subscription.epoch != answer.epoch:
            subscription.epoch, subscription.sequence = answer.epoch, 0
        if subscription.sequence < answer.kept:
            subscription.lost(answer.kept)
        if subscription.sequence < answer.sequence:
            self._ask(subscription)  # it is behind the one that asked

    def _on_deliver(self, source: int, message: control_pb2.HubToHub) -> None:
        delivery = message.deliver
        feed = self._feeds.get(delivery.topic)
        if feed is None or feed.epoch != delivery.epoch:
            return
        feed.head = max(feed.head, delivery.sequence)
        self._delivered.count(feed.group, monotonic())
        entry = Entry(delivery.sequence, delivery.type, delivery.payload)
        for subscription in list(feed.subscriptions):
            if subscription.epoch == delivery.epoch:
                subscription.take(entry)

    def _on_published(self, source: int, message: control_pb2.HubToHub) -> None:
        waiting = self._unacknowledged.pop(message.published.request, None)
        if waiting is not None:
            waiting[1]()

    def __repr__(self) -> str:
        return (
            f"<Topics {len(self._feeds)} feeds, {len(self._unacknowledged)} unacknowledged, {self._logs!r}>"
        )


def _deliver(topic: str, epoch: str, entry: Entry) -> control_pb2.HubToHub:
    return control_pb2.HubToHub(
        deliver=control_pb2.Deliver(
            topic=topic, epoch=epoch, sequence=entry.sequence, type=entry.type, payload=entry.payload
        )
    )


_RECEIVE: dict[str, Callable[[Topics, int, control_pb2.HubToHub], None]] = {
    "subscribe": Topics._on_subscribe,
    "unsubscribe": Topics._on_unsubscribe,
    "publish": Topics._on_publish,
    "subscribed": Topics._on_subscribed,
    "published": Topics._on_published,
    "deliver": Topics._on_deliver,
}
