"""What the services of a connection ask of it: topics, the thread pool, their open calls."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gevent import get_hub
from google.protobuf.message import Message

from actorrpc.actor import Service
from actorrpc.call import Call
from actorrpc.errors import RpcError
from actorrpc.forks import users_code
from actorrpc.hub.rates import counted_as
from actorrpc.hub.state import CLOSED

if TYPE_CHECKING:
    from actorrpc.hub.connection import Connection
    from actorrpc.hub.topics import Subscription
    from actorrpc.hub.turns import Cell

__all__ = ["ServiceHost"]

log = logging.getLogger("actorrpc.hub")

T = TypeVar("T")


class ServiceHost:
    """The ``actorrpc.actor.Host`` of one connection."""

    __slots__ = ("_connection", "_waiting", "moved", "subscriptions", "unacknowledged")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.subscriptions: list[Subscription] = []
        #: Another hub serves the connection: what is left of its actors here must do nothing more.
        self.moved = False
        #: Publications that their topics' homes have not numbered yet.
        self.unacknowledged = 0
        #: Those of them that have not been sent: an answer to one of them must not come before a
        #: subscription that was made earlier is in force.
        self._waiting: list[tuple[str, str, bytes]] = []

    @property
    def id(self) -> str:
        return self._connection.id

    @property
    def peer(self) -> str:
        return self._connection.peer

    def calls_of(self, service: Service) -> tuple[Call[Any], ...]:
        calls = self._connection.calls.values()
        return tuple(call for call in calls if call.cell is not None and call.cell.instance is service)

    def subscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None:
        connection = self._connection
        self._check("subscribe")
        cell = connection.cells.get(service.__rpc__.name)
        if cell is None or cell.instance is not service:
            raise RuntimeError(f"{type(service).__name__} cannot subscribe before it is made: use on_connect")
        if call is None and not cell.overrides("on_topic"):
            raise TypeError(
                f"{type(service).__name__} subscribes to {topic!r} without a call: give it an on_topic"
            )
        if call is not None and not call.route.method.server_streaming:
            raise TypeError(f"{call.method} has a single reply: only a response stream can carry a topic")
        if (call is not None and call.ended) or connection.state == CLOSED or self._find(cell, topic, call):
            return
        self.subscriptions.append(connection.node.topics.subscribe(connection, cell, topic, call))

    def unsubscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None:
        self._check("unsubscribe")
        cell = self._connection.cells.get(service.__rpc__.name)
        subscription = None if cell is None else self._find(cell, topic, call)
        if subscription is not None:
            self._end(subscription)

    def catch_up(self) -> None:
        """The actors' mailboxes have room again for what their topics have held back."""
        for subscription in self.subscriptions:
            if subscription.behind:
                subscription.behind = False
                self._connection.node.topics.catch_up(subscription)

    def _check(self, what: str) -> None:
        self._connection.check_thread()
        if self.moved:
            raise RuntimeError(
                f"cannot {what}: connection {self.id} is served by another hub now. A greenlet of your own "
                "does not move with its actor"
            )

    def _find(self, cell: Cell, topic: str, call: Call[Any] | None) -> Subscription | None:
        for each in self.subscriptions:
            if each.topic == topic and each.call is call and each.cell is cell:
                return each
        return None

    def _end(self, subscription: Subscription) -> None:
        self.subscriptions.remove(subscription)
        self._connection.node.topics.unsubscribe(subscription)
        if self._waiting:
            self.settled()

    def end_subscriptions(self, call: Call[Any] | None = None, cell: Cell | None = None) -> None:
        """End those of a call, those of a service, or all."""
        for subscription in list(self.subscriptions):
            if (call is None or subscription.call is call) and (cell is None or subscription.cell is cell):
                self._end(subscription)

    def publish(self, topic: str, message: Message) -> None:
        self._check("publish")
        publication = (topic, message.DESCRIPTOR.full_name, message.SerializeToString())
        if self._waiting or self._subscribing:
            self.unacknowledged += 1
            self._waiting.append(publication)
        else:
            self._send(publication)

    @property
    def _subscribing(self) -> bool:
        return any(subscription.pending for subscription in self.subscriptions)

    def _send(self, publication: tuple[str, str, bytes]) -> None:
        self.unacknowledged += 1
        group = counted_as(publication[0])
        self._connection.usage.publish(group)
        try:
            self._connection.node.topics.publish(*publication, self._published, group)
        except BaseException:
            self.unacknowledged -= 1
            raise

    def settled(self) -> None:
        """A subscription is in force, or has ended: send what waited, unless another is pending."""
        if not self._subscribing:
            waiting, self._waiting = self._waiting, []
            for publication in waiting:
                self.unacknowledged -= 1
                try:
                    self._send(publication)
                except RpcError as error:
                    log.error("a publication to %r is lost: %s", publication[0], error)
        self._connection.notice_quiet()

    def _published(self) -> None:
        self.unacknowledged -= 1
        self._connection.notice_quiet()

    def offload(self, function: Callable[[], T]) -> T:
        def in_thread() -> T:
            with users_code():  # a child that is forked there would wait for the pool's next task for ever
                return function()

        return get_hub().threadpool.apply(in_thread)

    def __repr__(self) -> str:
        return f"<ServiceHost of {self.id}, {len(self.subscriptions)} subscriptions>"
