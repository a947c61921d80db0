"""Answers the command line, over the socket in the runtime directory."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any

import gevent
from gevent import get_hub

from actorrpc.broker.questions import MOVE_GRACE, list_connections, move
from actorrpc.broker.rebalancer import Rebalancer
from actorrpc.broker.supervisor import Supervisor
from actorrpc.framing import close_all
from actorrpc.ipc import Link
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["Admin"]

log = logging.getLogger("actorrpc.broker")

#: Command lines at once: what the reserve of descriptors allows for.
MAX_LINKS = 16
#: How long to accept nothing after a failure.
PAUSE = 1.0


class Admin:
    """Accepts command lines and answers each, in a greenlet of its own, until the block ends.

    Who asked to stop is answered at the end of the block: by then all else has been cleaned up.
    """

    def __init__(self) -> None:
        self._supervisor: Supervisor
        self._rebalancer: Rebalancer
        self._listener: socket.socket | None = None
        self._accept_watcher: Any = None
        self._pause: Any = None
        self._links: set[Link[Request]] = set()
        self._stoppers: list[Link[Request]] = []

    def serve(self, listener: socket.socket, supervisor: Supervisor, rebalancer: Rebalancer) -> None:
        """Begin to answer. The listener is closed at the end of the block."""
        self._supervisor = supervisor
        self._rebalancer = rebalancer
        self._listener = listener
        listener.setblocking(False)
        loop = get_hub().loop
        self._accept_watcher = loop.io(listener.fileno(), 1)
        self._pause = loop.timer(PAUSE, PAUSE)
        self._accept()

    def _accept(self) -> None:
        self._pause.stop()
        self._accept_watcher.start(self._on_connection)

    def _on_connection(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # out of descriptors, say
            log.warning("cannot accept a command line: %s", error)
            self._accept_watcher.stop()
            self._pause.start(self._accept)
            return
        if len(self._links) == MAX_LINKS:
            sock.close()
            return

        def on_request(request: Request, fds: tuple[int, ...]) -> None:
            close_all(fds)
            self._on_request(link, request)

        link = Link(sock, Request, on_request, self._links.discard)
        self._links.add(link)

    def _on_request(self, link: Link[Request], request: Request) -> None:
        if request.WhichOneof("kind") == "stop":
            self._stoppers.append(link)
            self._supervisor.stop_soon()
        else:
            gevent.spawn(self._answer, link, request)

    def _answer(self, link: Link[Request], request: Request) -> None:
        try:
            reply = self._reply_to(request)
        except Exception as error:
            log.exception("error in answering the command line")
            reply = Reply(error=f"the broker failed: {error!r}")
        link.send(reply)

    def _reply_to(self, request: Request) -> Reply:
        kind = request.WhichOneof("kind")
        if kind == "status":
            status = {**self._supervisor.status(), "rebalance": self._rebalancer.status()}
            return Reply(json=json.dumps(status))
        if kind == "connections":
            return self._connections()
        if kind == "move":
            return self._move(request.move.connection, request.move.hub)
        if kind == "rebalance":
            return Reply(done=_REBALANCE[request.rebalance.wish](self._rebalancer))
        if kind == "moves":
            return Reply(json=json.dumps(self._rebalancer.journal.rows(request.moves.limit)))
        return Reply(error="this broker does not know the question: its version is another", bad_request=True)

    def _connections(self) -> Reply:
        rows, silent = list_connections(self._supervisor.serving)
        warnings = [f"hub {hub} does not answer; its connections are not listed" for hub in silent]
        return Reply(json=json.dumps(rows), warnings=warnings)

    def _move(self, connection: str, target: int) -> Reply:
        states = self._supervisor.states()
        if target not in states:
            last = len(states) - 1
            return Reply(error=f"no such hub: {target} (there are hubs 0 to {last})", bad_request=True)
        if states[target] != "serving":
            return Reply(error=f"hub {target} is {states[target]}")
        timeout = self._supervisor.config.quiesce_timeout + MOVE_GRACE
        whereabouts = self._supervisor.whereabouts
        verdict = move(
            self._supervisor.serving, connection, target, timeout, first=whereabouts.guess(connection)
        )
        if verdict.unknown:
            whereabouts.forget(connection)
        if verdict.moved:
            return Reply(done=verdict.text)
        return Reply(error=verdict.text, bad_request=verdict.unknown)

    def __enter__(self) -> Admin:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for resource in (self._accept_watcher, self._pause, self._listener):
            if resource is not None:
                resource.close()
        for link in self._stoppers:
            link.send(Reply(done="stopped"))
        for link in self._links:
            link.close()

    def __repr__(self) -> str:
        return f"<Admin with {len(self._links)} command lines, {len(self._stoppers)} waiting for the end>"


_REBALANCE: dict[Any, Callable[[Rebalancer], str]] = {
    Request.Rebalance.PAUSE: Rebalancer.pause,
    Request.Rebalance.RESUME: Rebalancer.resume,
    Request.Rebalance.NOW: Rebalancer.now,
}
