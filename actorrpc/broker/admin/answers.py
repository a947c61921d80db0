"""Answers the command line, over the socket in the runtime directory."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub

from actorrpc.broker.admin.explain import explain
from actorrpc.broker.deploying.scale import MOST_HUBS
from actorrpc.broker.moves.descriptions import list_heaviest
from actorrpc.broker.moves.hub_questions import MOVE_GRACE, list_actors, list_connections, move
from actorrpc.broker.moves.rebalancer import Rebalancer
from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.broker.supervisor import Supervisor
from actorrpc.broker.watching.stacks import stacks
from actorrpc.errors import ConfigError
from actorrpc.ipc.framing import MAX_FRAME, close_all
from actorrpc.ipc.link import Link
from actorrpc.loop.duties import reason
from actorrpc.loop.timers import after
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["Admin"]

log = logging.getLogger("actorrpc.broker")

#: Command lines at once: what the reserve of descriptors allows for.
MAX_CALLERS = 16
#: Questions of one at once, and bytes of answers that it has not read: with more of either it is cut off.
MAX_QUESTIONS = 64
MAX_UNREAD = 16 * 1024 * 1024
#: The largest question.
MAX_REQUEST = 64 * 1024
#: How long to accept nothing after a failure.
PAUSE = 1.0


class _Caller:
    """One command line. It may ask several things at once, and again later; each is answered when the answer
    is known. While it awaits no answer, it may be disconnected to make room for another."""

    def __init__(self, sock: socket.socket, asked: Callable[[_Caller, Request], None], gone: _Gone) -> None:
        self._asked = asked
        self._gone = gone
        #: How many questions are being answered.
        self.answering = 0
        self.link = Link(
            sock,
            Request,
            self._on_request,
            lambda link: self.end(),
            max_frame=MAX_REQUEST,
            max_sent=MAX_FRAME,
        )

    def _on_request(self, request: Request, fds: tuple[int, ...]) -> None:
        close_all(fds)
        if self.answering == MAX_QUESTIONS or self.link.unsent > MAX_UNREAD:
            self.end()
        else:
            self.answering += 1
            self._asked(self, request)

    def answer(self, reply: Reply) -> None:
        """Send an answer, unless it has gone."""
        self.answering -= 1
        if self.link.closed:
            return
        try:
            self.link.send(reply)
        except ValueError as error:  # it is too large
            self.link.send(Reply(error=str(error)))

    def end(self) -> None:
        """Disconnect it, or clean up when it has gone."""
        self.link.close()
        self._gone(self)


_Gone = Callable[[_Caller], None]


class Admin:
    """Accepts command lines and answers each, in a greenlet of its own, until the block ends.

    A command line that asked to stop is answered at the end of the block, when all else has been cleaned up.
    At ``MAX_CALLERS`` the oldest that awaits no answer is disconnected; if all await one, others wait in the
    socket's queue.
    """

    def __init__(self) -> None:
        self._supervisor: Supervisor
        self._rebalancer: Rebalancer
        self._socket: socket.socket | None = None
        self._accept_watcher: Any = None
        self._pause: Any = None
        #: The oldest first.
        self._callers: dict[_Caller, None] = {}
        #: Those that are answered at the end, and with what.
        self._stoppers: dict[_Caller, Reply] = {}
        #: Called when another broker, the process with this pid, gets the hubs. Returns what that is told.
        self.on_handed_over: Callable[[int], dict[str, Any]] = lambda pid: {}

    def serve(self, sock: socket.socket, supervisor: Supervisor, rebalancer: Rebalancer) -> None:
        """Begin to answer. The listening socket is closed at the end of the block."""
        self._supervisor = supervisor
        self._rebalancer = rebalancer
        self._socket = sock
        sock.setblocking(False)
        self._accept_watcher = get_hub().loop.io(sock.fileno(), 1)
        self._accept()

    def _accept(self) -> None:
        self._accept_watcher.start(self._on_connection)

    def _on_connection(self) -> None:
        assert self._socket is not None
        if not self._make_room():
            self._accept_watcher.stop()  # until one of them has been answered
            return
        try:
            sock, _ = self._socket.accept()
            self._callers[_Caller(sock, self._on_request, self._forget)] = None
        except Exception as error:  # out of descriptors, say; gevent would stop the watcher for good
            log.warning("cannot accept a command line: %s", error)
            self._accept_watcher.stop()
            self._pause = after(PAUSE, self._accept)

    def _make_room(self) -> bool:
        """Disconnect the oldest that awaits no answer, if need be. Returns whether there is room now."""
        if len(self._callers) >= MAX_CALLERS:
            idle = next((caller for caller in self._callers if not caller.answering), None)
            if idle is None:
                return False
            idle.end()
        return True

    def _forget(self, caller: _Caller) -> None:
        self._callers.pop(caller, None)
        self._room_again()

    def _room_again(self) -> None:
        if self._accept_watcher is not None and not (self._pause and self._pause.active):
            self._accept()

    def _on_request(self, caller: _Caller, request: Request) -> None:
        if request.WhichOneof("kind") == "stop":
            self._stoppers[caller] = Reply(done="stopped")
            self._supervisor.stop_soon(_seconds(request.stop))
        elif request.WhichOneof("kind") == "hand_over":
            gevent.spawn(self._hand_over, caller, request.hand_over.pid)
        else:
            gevent.spawn(self._answer, caller, request)

    def _hand_over(self, caller: _Caller, pid: int) -> None:
        def leave() -> None:
            caller.link.drain()
            if caller.link.closed:  # while this process was stopped, say
                raise ConfigError("who asked for the hubs has gone")
            self._supervisor.hand_over()

        try:
            self._supervisor.events.change(leave)
        except ConfigError as error:
            log.info("the broker with pid %d does not get the hubs: %s", pid, error)
            caller.answer(Reply(error=str(error)))
            self._room_again()
        else:
            log.info("the broker with pid %d takes the hubs over", pid)
            self._stoppers[caller] = Reply(json=json.dumps(self.on_handed_over(pid)))

    def _answer(self, caller: _Caller, request: Request) -> None:
        try:
            reply = self._reply_to(request)
        except Exception as error:
            log.exception("error while answering the command line")
            reply = Reply(error=f"the broker failed: {reason(error)}")
        caller.answer(reply)
        self._room_again()

    def _reply_to(self, request: Request) -> Reply:
        kind = request.WhichOneof("kind")
        if kind == "status":
            return Reply(json=json.dumps(self._status()))
        if kind == "top":
            return self._top(request.top)
        if kind == "why":
            return explain(self._supervisor, self._rebalancer, request.why.name)
        if kind == "connections":
            return self._connections()
        if kind == "actors":
            return self._actors()
        if kind == "move":
            return self._move(request.move.connection, request.move.hub)
        if kind == "rebalance":
            done = _REBALANCE[request.rebalance.wish](self._rebalancer)
            self._supervisor.events.put(self._supervisor.estate.write_down)
            return Reply(done=done)
        if kind == "stacks":
            return self._stacks(request.stacks.hub)
        if kind == "moves":
            return Reply(json=json.dumps(self._rebalancer.journal.rows(request.moves.limit)))
        if kind == "reload":
            return self._reload(request.reload)
        if kind == "drain":
            return self._drain(request.drain.hub, request.drain.undo)
        if kind == "scale":
            return self._scale(request.scale)
        if kind == "renew_tls":
            return self._renew_tls()
        return Reply(
            error="this broker does not know the question: it is of another version", bad_request=True
        )

    def _status(self) -> dict[str, Any]:
        return {**self._supervisor.status(), "rebalance": self._rebalancer.status()}

    def _top(self, wish: Request.Top) -> Reply:
        found = list_heaviest(self._supervisor.members.serving, wish.limit, wish.match)
        warnings = [f"hub {each.hub} does not answer; what it has is not listed" for each in found.silent]
        top = {"at": time.monotonic(), "status": self._status(), "heaviest": found.rows, "more": found.more}
        return Reply(json=json.dumps(top), warnings=warnings)

    def _reload(self, wish: Request.Reload) -> Reply:
        rows, _ = self._list_connections()
        try:
            reload = self._supervisor.deployment.reload(_seconds(wish))
        except ConfigError as error:
            return Reply(error=str(error))
        pinned = dict(Counter(row["why"] for row in rows if not row["movable"]).most_common())
        begun = {"generation": reload.generation.number, "connections": len(rows), "pinned": pinned}
        return Reply(json=json.dumps(begun))

    def _drain(self, hub: int, undo: bool) -> Reply:
        try:
            self._supervisor.events.change(lambda: self._supervisor.deployment.drain(hub, undo=undo))
        except ConfigError as error:
            return Reply(error=str(error))
        return Reply(done=f"hub {hub} {'takes connections again' if undo else 'is being drained'}")

    def _scale(self, wish: Request.Scale) -> Reply:
        try:
            scale = self._supervisor.events.change(
                lambda: self._supervisor.deployment.scale(wish.hubs, _seconds(wish))
            )
        except ConfigError as error:
            return Reply(error=str(error), bad_request=not 1 <= wish.hubs <= MOST_HUBS)
        return Reply(json=json.dumps(scale.status()))

    def _renew_tls(self) -> Reply:
        try:
            return Reply(json=json.dumps(self._supervisor.certificates.renew()))
        except ConfigError as error:
            return Reply(error=str(error))

    def _list_connections(self) -> tuple[list[dict[str, Any]], list[HubProcess]]:
        supervisor = self._supervisor
        return list_connections(supervisor.members.serving, supervisor.places.lately())

    def _connections(self) -> Reply:
        rows, silent = self._list_connections()
        warnings = [f"hub {each.hub} does not answer; its connections are not listed" for each in silent]
        return Reply(json=json.dumps(rows), warnings=warnings)

    def _actors(self) -> Reply:
        rows, silent = list_actors(self._supervisor.members.serving)
        warnings = [f"hub {each.hub} does not answer; its keyed actors are not listed" for each in silent]
        return Reply(json=json.dumps(rows), warnings=warnings)

    def _stacks(self, hub: int) -> Reply:
        process = self._supervisor.hubs.process(hub)
        states = self._supervisor.hubs.states()
        if process is None and hub not in states:
            return _no_such_hub(hub, len(states))
        if process is None or process not in self._supervisor.members:
            return Reply(error=f"hub {hub} is {states.get(hub, 'starting')}")
        found, warnings = stacks(process)
        return Reply(json=json.dumps(found), warnings=warnings)

    def _move(self, connection: str, number: int) -> Reply:
        target = self._supervisor.hubs.process(number)
        if target is None and number not in (states := self._supervisor.hubs.states()):
            return _no_such_hub(number, len(states))
        if target is None or target.state != "serving":
            return Reply(error=f"hub {number} is {target.state if target else states[number]}")
        timeout = self._supervisor.config.quiesce_timeout + MOVE_GRACE
        places, journal = self._supervisor.places, self._rebalancer.journal
        journal.asked(connection, target.hub)
        verdict = move(
            self._supervisor.members.serving,
            connection,
            target,
            timeout,
            first=places.guess(connection),
            arriving=places.is_arriving(connection),
        )
        journal.answered(connection, verdict.hub, target.hub, verdict.why)
        if verdict.unknown:
            places.forget(connection)
        if verdict.moved:
            return Reply(done=verdict.text)
        return Reply(error=verdict.text, bad_request=verdict.unknown)

    def __enter__(self) -> Admin:
        return self

    def __exit__(self, *_: object) -> None:
        for resource in (self._accept_watcher, self._pause, self._socket):
            if resource is not None:
                resource.close()
        self._accept_watcher = None
        for caller, reply in self._stoppers.items():
            caller.answer(reply)
        for caller in list(self._callers):
            caller.end()

    def __repr__(self) -> str:
        return f"<Admin with {len(self._callers)} command lines, {len(self._stoppers)} waiting for the end>"


def _seconds(wish: Request.Stop | Request.Reload | Request.Scale) -> float | None:
    """The drain timeout that was asked for."""
    return wish.drain_timeout if wish.HasField("drain_timeout") else None


def _no_such_hub(hub: int, count: int) -> Reply:
    return Reply(error=f"no such hub: {hub} (there are hubs 0 to {count - 1})", bad_request=True)


_REBALANCE: dict[Any, Callable[[Rebalancer], str]] = {
    Request.Rebalance.PAUSE: Rebalancer.pause,
    Request.Rebalance.RESUME: Rebalancer.resume,
    Request.Rebalance.NOW: Rebalancer.now,
}
