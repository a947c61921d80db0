"""The home's half of topics: it numbers what is published, and sends it to the hubs that subscribe.

No more waits in a link than ``room`` allows. A hub whose link is full is behind: the log notes the last
number that it was sent, and goes on from there when there is room again. If some of that has been dropped by
then, the hub is told so.

A hub that becomes the home after another has died knows nothing of its subscribers, and they do not come
at once: their hubs may be in the middle of a turn. So in its new slots it keeps a log of every topic,
subscribed or not, until each hub has said Rejoined: a subscriber of an earlier epoch can still come, and
begins with the first message here. It goes on so for ``LINGER`` seconds more, for subscriptions that were
moving meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from time import monotonic

from actorrpc.hub.topics.homes import Homes
from actorrpc.hub.topics.numbered_log import LINGER, Entry, TopicLog, TopicLogs
from actorrpc.pb import control_pb2

__all__ = ["Home"]


@dataclass
class _Awaiting:
    """The slots of one term: the hubs that have not rejoined, and how long to go on once they all have."""

    hubs: set[int]
    until: float = field(init=False, default=0.0)
    #: Topics had to be forgotten, so that no topic here is known from its beginning.
    forgotten: bool = False

    def discard(self, hub: int) -> None:
        self.hubs.discard(hub)
        if not self.hubs and not self.until:
            self.until = monotonic() + LINGER


class Home:
    """The topics that one hub is the home of. ``send(hub, message)`` may be to this hub itself; ``room(hub)``
    is asked before a delivery to another."""

    def __init__(
        self,
        hub: int,
        generation: int,
        send: Callable[[int, control_pb2.HubToHub], None],
        room: Callable[[int], bool],
    ) -> None:
        self._hub = hub
        self._send = send
        self._room = room
        self._homes = Homes.alone(hub)
        self.logs = TopicLogs(hub, generation, self._forgotten)
        #: By term.
        self._awaiting: dict[int, _Awaiting] = {}
        #: By hub: the topics in whose logs it is behind. A dict in place of a set, for its order.
        self._behind: dict[int, dict[str, None]] = {}

    def set_homes(self, homes: Homes, peers: Collection[int]) -> None:
        """Learn of a new version. ``peers`` are the other hubs, some of which may have died unnoticed."""
        before, self._homes = self._homes, homes
        self.logs.forget(lambda topic: homes.where(topic)[0] != self._hub)
        if not before.version:
            return  # nobody can have subscribed
        for home, term in homes.fresh(before):
            if home == self._hub:
                awaiting = self._awaiting[term] = _Awaiting({*peers, self._hub})
                awaiting.discard(self._hub)  # it asks at once

    def rejoined(self, hub: int, version: int) -> None:
        """A hub has asked for all that it wants, in the slots of all terms up to a version."""
        for term, awaiting in self._awaiting.items():
            if term <= version:
                awaiting.discard(hub)

    def _awaited(self, topic: str) -> _Awaiting | None:
        """Where subscribers may come who have heard nothing of this home yet."""
        return self._awaiting.get(self._homes.where(topic)[1]) if self._awaiting else None

    def _forgotten(self, topic: str) -> None:
        if (awaiting := self._awaited(topic)) is not None:
            awaiting.forgotten = True

    def _begin(self, topic: str) -> TopicLog:
        awaiting = self._awaited(topic)
        return self.logs.get(topic, lost=int(awaiting is not None and awaiting.forgotten))

    def subscribe(self, source: int, request: control_pb2.Subscribe) -> None:
        """Send a hub what comes after a position, as far as it is still kept, and all that is published."""
        log = self._begin(request.topic)
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

    def publish(self, topic: str, type: str, payload: bytes) -> None:
        """Number a message and send it on."""
        log = self.logs.logs.get(topic)
        awaiting = self._awaited(topic)
        if log is None:
            if awaiting is None:
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

    def forget_hub(self, hub: int) -> None:
        """A hub is dead: it subscribes to nothing, and will not come."""
        self.logs.forget_hub(hub)
        self._behind.pop(hub, None)
        for awaiting in self._awaiting.values():
            awaiting.discard(hub)

    def sweep(self, now: float) -> None:
        """Drop what nobody will ask for."""
        for term, awaiting in list(self._awaiting.items()):
            if awaiting.until and now > awaiting.until:
                del self._awaiting[term]
        self.logs.sweep(now, lambda topic: self._awaited(topic) is not None)

    def __repr__(self) -> str:
        return f"<Home {self.logs!r}, {len(self._behind)} hubs behind, {len(self._awaiting)} terms awaited>"
