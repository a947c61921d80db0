"""What the services of a connection ask of it: topics, the thread pool, their open calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from gevent import get_hub
from google.protobuf.message import Message

from actorrpc.actor import Actor, Service, overrides
from actorrpc.call import Call
from actorrpc.client.references import Target
from actorrpc.errors import RpcError, SnapshotError, StatusCode
from actorrpc.forks import users_code
from actorrpc.hub.actors.cell import Cell, key_of
from actorrpc.hub.actors.cells import Cells
from actorrpc.hub.actors.sinks import ActorSink, CallSink, may_have_more
from actorrpc.hub.actors.stage import Stage
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.open_calls import OpenCalls
from actorrpc.hub.invoking.tells import Tells
from actorrpc.hub.metering.rates import counted_as
from actorrpc.hub.phase import CLOSED
from actorrpc.hub.resources import Resources
from actorrpc.hub.topics.engine import Sink, Subscription, Topics
from actorrpc.log import about
from actorrpc.pb.snapshot_pb2 import SubscriptionSnapshot
from actorrpc.ref_pb2 import ActorRef

__all__ = ["MAX_SUBSCRIPTIONS", "Carrier", "ServiceHost", "check_subscription"]

#: Subscriptions of one connection. A move tells the target of each, and that asks each topic's home at once.
MAX_SUBSCRIPTIONS = 4096
#: All their topics' names, in characters: clients may choose them.
MAX_NAMES = 1024 * 1024

#: What a connection may publish while one of its subscriptions is being established.
MAX_HELD = 4096
MAX_HELD_BYTES = 4 * 1024 * 1024

T = TypeVar("T")

#: What a subscription is found by: its cell's key, its topic, and its call if it has one.
Key = tuple[str, str, ServerCall[Any] | None]

log = logging.getLogger("actorrpc.hub")


def check_subscription(service: Service, topic: str, call: ServerCall[Any] | None) -> None:
    """Raise TypeError for a subscription whose messages nobody could be given."""
    if call is None and not overrides(type(service), "on_topic"):
        raise TypeError(
            f"{type(service).__name__} subscribes to {topic!r} without a call: give it an on_topic"
        )
    if call is not None and not call.route.method.server_streaming:
        raise TypeError(f"{call.method} has a single reply: only a response stream can carry a topic")


class Carrier(Stage, Protocol):
    """The connection, as far as its services ask for it."""

    @property
    def calls(self) -> OpenCalls: ...
    @property
    def cells(self) -> Cells: ...
    @property
    def resources(self) -> Resources: ...


@dataclass(slots=True, eq=False, repr=False)
class ServiceHost:
    """The ``actorrpc.actor.Host`` of one connection."""

    _connection: Carrier
    _all: dict[Key, Subscription] = field(default_factory=dict)
    #: Those of calls.
    by_call: dict[ServerCall[Any], dict[Key, None]] = field(default_factory=dict)
    #: Those whose actors have too much waiting: see ``took``. A dict in place of a set, for its order.
    behind: dict[Key, None] = field(default_factory=dict)
    #: The length of their topics' names.
    _names: int = 0
    #: How many are being established.
    _pending: int = 0
    #: Publications that their topics' homes have not numbered yet.
    unacknowledged: int = 0
    #: Those of them that have not been sent: an answer to one of them must not come before a
    #: subscription that was made earlier is in force.
    _held: list[Callable[[], None]] = field(default_factory=list)
    _held_bytes: int = 0
    #: What was told to other actors; None: nothing has been.
    tells: Tells | None = None

    @property
    def id(self) -> str:
        return self._connection.id

    @property
    def _topics(self) -> Topics:
        return self._connection.resources.topics

    def calls_of(self, service: Service) -> tuple[ServerCall[Any], ...]:
        calls = self._connection.calls.values()
        return tuple(call for call in calls if call.receiver.instance is service)

    def subscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None:
        call = cast("ServerCall[Any] | None", call)  # calls are of no other kind
        connection = self._connection
        self._check("subscribe")
        if connection.phase.state == CLOSED:
            return
        cell = connection.cells.get(key_of(service.__rpc__.name, service._identity))
        if cell is None or cell.instance is not service:
            raise RuntimeError(f"{type(service).__name__} cannot subscribe before it is made: use on_connect")
        check_subscription(service, topic, call)
        key = (cell.key, topic, call)
        if (call is not None and call.ended) or key in self._all:
            return
        if len(self._all) >= MAX_SUBSCRIPTIONS or self._names + len(topic) > MAX_NAMES:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"the connection has {len(self._all)} subscriptions to topics, with names of {self._names} "
                f"characters: at most {MAX_SUBSCRIPTIONS} are allowed, with {MAX_NAMES}",
            )
        self._pending += 1
        try:
            self._add(key, self._topics.subscribe(topic, self._sink(cell, call)))
        except BaseException:
            self._pending -= 1
            raise

    def _sink(self, cell: Cell, call: ServerCall[Any] | None) -> Sink:
        return ActorSink(self._connection, cell) if call is None else CallSink(self._connection, call)

    def _add(self, key: Key, subscription: Subscription) -> None:
        _, topic, call = key
        self._all[key] = subscription
        self._names += len(topic)
        if call is not None:
            self.by_call.setdefault(call, {})[key] = None

    @property
    def subscriptions(self) -> list[Subscription]:
        """All of them, in the order in which they were made."""
        return list(self._all.values())

    def unsubscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None:
        self._check("unsubscribe")
        key = (key_of(service.__rpc__.name, service._identity), topic, cast("ServerCall[Any] | None", call))
        if key in self._all:
            self._end(key)

    def leave_behind(self, cell: Cell, topic: str) -> None:
        self.behind[cell.key, topic, None] = None

    def took(self, cell: Cell, payload: bytes) -> None:
        """An actor's message of a topic leaves its mailbox: have what was left at the home sent again, when
        there is room for some."""
        cell.topic_turns -= 1
        cell.topic_bytes -= len(payload)
        if self.behind and may_have_more(cell):
            for key in [each for each in self.behind if each[0] == cell.key]:
                del self.behind[key]
                if (subscription := self._all.get(key)) is not None:
                    self._topics.catch_up_soon(subscription)

    def _check(self, what: str) -> None:
        phase = self._connection.phase
        phase.settle(what)
        phase.check_here(what)  # what is left of its actors here must do nothing more

    def _end(self, key: Key) -> None:
        subscription = self._all.pop(key)
        _, topic, call = key
        self._names -= len(topic)
        if call is not None:
            of_call = self.by_call[call]
            del of_call[key]
            if not of_call:
                del self.by_call[call]
        self.behind.pop(key, None)
        self._topics.unsubscribe(subscription)
        if subscription.pending:
            self.settled()

    def end_subscriptions(self, call: ServerCall[Any] | None = None, cell: Cell | None = None) -> None:
        of = self.by_call.get(call, ()) if call is not None else self._all
        for key in [each for each in of if cell is None or each[0] == cell.key]:
            self._end(key)

    def publish(self, topic: str, message: Message) -> None:
        self._check("publish")
        publish = self._hold if self._pending else self._publish
        try:
            publish(topic, message.DESCRIPTOR.full_name, message.SerializeToString(), counted_as(topic))
        except RpcError as error:
            log.error("a publication was refused: %s", error, extra=about(connection=self._connection.id))
            raise

    def _publish(self, topic: str, type: str, payload: bytes, group: str) -> None:
        self._connection.schedule.usage.publish(group)
        self.unacknowledged += 1
        try:
            self._topics.publish(topic, type, payload, self._published, group)
        except BaseException:
            self.unacknowledged -= 1
            raise

    def _hold(self, topic: str, type: str, payload: bytes, group: str) -> None:
        """Publish it when what is pending is in force. A home that does not answer must not fill the hub."""
        size = self._held_bytes + len(payload)
        if self._held and (len(self._held) >= MAX_HELD or size > MAX_HELD_BYTES):
            raise RpcError(
                StatusCode.UNAVAILABLE,
                f"a subscription is not established yet, and {len(self._held)} publications wait for it",
            )
        self._held.append(self._topics.reserve(topic, type, payload, self._published, group))
        self._held_bytes = size
        self.unacknowledged += 1
        self._connection.schedule.usage.publish(group)

    def settled(self) -> None:
        """A subscription is in force, or has ended before: send what waited, unless another is pending."""
        self._pending -= 1
        if not self._pending and self._held:
            held, self._held = self._held, []
            self._held_bytes = 0
            for publish in held:
                publish()
        self._connection.schedule.notice_quiet()

    def _published(self) -> None:
        self.unacknowledged -= 1
        self._connection.schedule.notice_quiet()

    def freeze(self) -> list[SubscriptionSnapshot]:
        """The subscriptions, and where each of them stands."""
        cells = self._connection.cells
        return [
            SubscriptionSnapshot(
                topic=topic,
                stream=0 if call is None else call.stream.id,
                service=cells[key].name,
                identity=cells[key].identity,
                epoch=subscription.epoch,
                sequence=subscription.sequence,
            )
            for (key, topic, call), subscription in self._all.items()
        ]

    def thaw(self, snapshots: Iterable[SubscriptionSnapshot]) -> None:
        """Have the subscriptions of a snapshot, whose actors and calls are here; topics are not told of them
        yet. Raises SnapshotError for one of neither."""
        for each in snapshots:
            cell = self._connection.cells.get(key_of(each.service, each.identity))
            call = self._connection.calls.get(each.stream)
            if cell is None or (each.stream and call is None):
                raise SnapshotError(f"a subscription to {each.topic!r} of nothing that travels with it")
            sink = self._sink(cell, call)
            self._add((cell.key, each.topic, call), Subscription(each.topic, sink, each.epoch, each.sequence))

    # ---- other actors

    def actor(self, service: Service, key: str) -> Target:
        return self._connection.resources.invoking.actor(service, key)

    def ref(self, service: Service) -> ActorRef:
        if not (service._key or self._connection.resources.invoking.seals):
            raise RuntimeError(
                f"{type(service).__name__}.ref: the server was started by a version of actorrpc that knows "
                "no references to actors of connections"
            )
        return self._ref(service)

    def _ref(self, service: Service) -> ActorRef:
        invoking, name = self._connection.resources.invoking, service.__rpc__.name
        if service._key:
            return ActorRef(service=name, key=service._key, server=invoking.server)
        return ActorRef(
            service=name,
            connection=self.id,
            identity=service._identity,
            server=invoking.server,
            seal=invoking.seals.make(name, self.id, service._identity),
        )

    def check_calls(self) -> None:
        self._check("call an actor")

    def name_of(self, service: Service) -> str:
        return self.id if service._key else f"{key_of(service.__rpc__.name, service._identity)} on {self.id}"

    def calling(self, service: Service) -> bytes:
        if not service._as_caller and isinstance(service, Actor):
            service.__dict__["_as_caller"] = self._ref(service).SerializeToString()
        return service._as_caller

    def waiting_behind(self, service: Service) -> tuple[str, ...]:
        cell = self._connection.cells.get(key_of(service.__rpc__.name, service._identity))
        calls = [] if cell is None else [call for _, call, _ in cell.mailbox if call is not None]
        return tuple(dict.fromkeys(name for call in calls if not call.ended for name in call.waiting))

    def tells_of(self) -> Tells:
        if self.tells is None:
            self.tells = Tells(
                self._connection.resources.exchange, sent=self._connection.schedule.notice_quiet
            )
        return self.tells

    def offload(self, function: Callable[[], T]) -> T:
        context = copy_context()

        def run() -> tuple[T | None, BaseException | None]:
            # The pool's own way with errors would print each of them, and end the hub for a SystemExit.
            with users_code():  # a child that is forked there would wait for the pool's next task for ever
                try:
                    return context.run(function), None
                except BaseException as error:
                    return None, error

        result, error = get_hub().threadpool.apply(run)
        if error is None:
            return cast("T", result)
        try:
            raise error
        finally:
            del error  # whose traceback knows this

    def __repr__(self) -> str:
        return f"<ServiceHost of {self.id}, {len(self._all)} subscriptions>"
