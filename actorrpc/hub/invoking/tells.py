"""``Tells``: calls for whose answers nobody waits, each sent when the one before it to the same actor has
reached that. So they are handled in the order in which they were made, wherever the actor moves meanwhile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import Name, described, is_keyed
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.outgoing import Fields, Request
from actorrpc.log import about

__all__ = ["MAX_WAITING", "MAX_WAITING_BYTES", "Tells"]

log = logging.getLogger("actorrpc.hub")

#: What may wait to be sent, of the actors of one connection, or of one key.
MAX_WAITING = 4096
MAX_WAITING_BYTES = 4 * 1024 * 1024


class Tells:
    """Those of one caller. ``sent`` is called whenever none waits to reach its actor any more."""

    def __init__(self, exchange: Exchange, sent: Callable[[], None] = lambda: None) -> None:
        self._exchange = exchange
        self._sent = sent
        #: By actor, while one is on its way there: what comes after it. Each is told to go, and says whether
        #: the next may go at once.
        self._queues: dict[Name, deque[tuple[Callable[[], bool], int]]] = {}
        self._waiting = 0
        self._waiting_bytes = 0

    def __bool__(self) -> bool:
        """Whether one has not reached its actor."""
        return bool(self._queues)

    def tell(self, name: Name, request: Request) -> None:
        """Send it when its turn has come. Raises RpcError if too many wait."""
        queue = self._queues.get(name)
        if queue is not None:
            size = len(request.message)
            if self._waiting >= MAX_WAITING or self._waiting_bytes + size > MAX_WAITING_BYTES:
                raise RpcError(
                    StatusCode.RESOURCE_EXHAUSTED,
                    f"{self._waiting} messages that were told wait to be sent, with {self._waiting_bytes} "
                    f"bytes: at most {MAX_WAITING} may, with {MAX_WAITING_BYTES}",
                )
            self._add(queue, lambda: self._send(name, request), size)
        elif not self._send(name, request):
            self._queues.setdefault(name, deque())

    def after(self, name: Name, begin: Callable[[], None]) -> None:
        """Begin another call, after what was told before."""
        queue = self._queues.get(name)
        if queue is None:
            begin()
        else:
            self._add(queue, lambda: _and_go_on(begin), 0)

    def _add(self, queue: deque[tuple[Callable[[], bool], int]], send: Callable[[], bool], size: int) -> None:
        queue.append((send, size))
        self._waiting += 1
        self._waiting_bytes += size

    def _send(self, name: Name, request: Request) -> bool:
        """Send one. Whether it is there already."""
        tell = _Tell(self, name, request.method)
        self._exchange.begin(name, request, tell)
        tell.sent = True
        return tell.reached

    def reached(self, name: Name) -> None:
        """One is there, or will never be: send the next."""
        queue = self._queues[name]
        while queue:
            send, size = queue.popleft()
            self._waiting -= 1
            self._waiting_bytes -= size
            if not send():
                return
        del self._queues[name]
        if not self._queues:
            self._sent()

    def __repr__(self) -> str:
        return f"<Tells to {len(self._queues)} actors, {self._waiting} wait>"


def _and_go_on(begin: Callable[[], None]) -> bool:
    begin()
    return True


class _Tell:
    """The listener of one."""

    frozen = congested = False
    __slots__ = ("_method", "_name", "_tells", "reached", "sent")

    def __init__(self, tells: Tells, name: Name, method: str) -> None:
        self._tells = tells
        self._name = name
        self._method = method
        self.sent = self.reached = False

    def on_begun(self) -> None:
        if not self.reached:
            self.reached = True
            if self.sent:
                self._tells.reached(self._name)

    def on_headers(self, fields: Fields) -> None:
        self.on_begun()

    def on_message(self, payload: bytes) -> None:
        self.on_begun()

    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        if status is not StatusCode.OK:
            log.warning(
                "%s, which was told to %s, ended with %s: %s",
                self._method,
                "/".join(self._name) if is_keyed(self._name) else described(self._name),
                status.name,
                message,
                extra=about(self._method),
            )
        self.on_begun()
