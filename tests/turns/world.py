"""A program as it runs: hubs, clients and the reference, in one process and one loop.

The model's own code runs in the main greenlet; after each batch it lets the loop come to rest (``settle``)
and compares (``check``).
"""

from __future__ import annotations

import gc
import logging
import os
import socket
from typing import Any

import gevent

from actorrpc.config import Config
from tests.apps.shapes_pb2 import Item

from . import probes
from .at_rest import Looks
from .client import LARGE, Client
from .clock import Clock
from .costs import Costs
from .program import Op, Program
from .reference import Call, Fault
from .services import app_of, current

__all__ = ["World", "run"]

#: Rounds of the loop that may pass before it is at rest, for one batch: 1,500 replies, one in each slice,
#: are 1,500 rounds; half a megabyte through a window of a hundred bytes takes ten thousand.
MOST_ROUNDS = 60_000

#: What the hub logs when its own code failed: never right, whatever an app does.
FAILURES = ("outside of its handler", "could not be handled", "in state", "cannot be served", "is lost:")


def run(world: World) -> None:
    """Run a world's program. Raises Fault."""
    gc.disable()  # so that what is left is young, and found without a look at all else in the process
    with world.clock.installed():
        try:
            world.run()
        finally:
            world.close()
            gc.enable()


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class World(Looks):
    """See the module's docstring."""

    def __init__(self, program: Program) -> None:
        self.program = program
        super().__init__()
        self.clock = Clock(program.tick)
        self.admits = "on_call" in program.interceptors
        self.clients: list[Client] = []
        self.ids: list[str] = []
        self.calls: list[Call] = []
        self.moves: list[tuple[int, list[Any]]] = []
        self.aborted: list[str] = []
        self.batch = 0
        self.errors: list[BaseException] = []
        self.costs = Costs(self)
        self.nodes: list[Any] = []
        self._log = _Log()
        self._fds = 0
        self._undo: Any = None
        self._logger: tuple[logging.Logger, bool] | None = None

    # ---- the run

    def run(self) -> None:
        gevent.idle()  # the loop has what it needs
        self._fds = len(os.listdir("/proc/self/fd"))
        current[:] = [self]
        logger = logging.getLogger("actorrpc")
        self._logger = (logger, logger.propagate)
        logger.addHandler(self._log)
        logger.propagate = False
        self._undo = probes.loop_errors(self.errors)
        program = self.program
        probes.topic_room(program.topic_room)
        config = Config(
            max_mailbox=program.max_mailbox,
            flood_burst=0,
            permit_keepalive_time=0,
            max_unsent_bytes=64 << 20,
        )
        app = app_of(self.hooks, program.interceptors)
        self.nodes = probes.nodes_of(app, config, program.hubs, self._on_moved, program.move_every)
        probes.count_all(self.nodes)
        for window in program.clients:
            self._connect(*window)
        with self.costs:
            self.settle()
            for batch in program.batches:
                self.batch += 1
                for step in batch:
                    self.step(step)
                self.settle()
            self.finish()
        self.end()

    def _connect(self, window: int, late: bool, wide: bool) -> None:
        ours, theirs = socket.socketpair()
        self.clients.append(Client(ours, window, late, wide))
        connection = probes.accept(self.nodes[0], theirs, f"client {len(self.ids)}")
        self.ids.append(connection.id)

    def close(self) -> None:
        """Leave nothing behind, whatever has happened."""
        self.open = True
        for client in self.clients:
            if not client.gone:
                client.leave()
        for gate in list(self.gates):
            gate.event.set()
        if self.nodes:
            self._rounds(200, enough=True)
            self.clock.advance(60)
            self._rounds(200, enough=True)
            gevent.get_hub().loop.run_callback(self._close_all)
            self._rounds(200, enough=True)
        if self._undo is not None:
            self._undo()
        if self._logger is not None:
            logger, propagate = self._logger
            logger.propagate = propagate
            logger.removeHandler(self._log)
        current.clear()

    def _close_all(self) -> None:
        for node in self.nodes:
            for connection in list(node.connections.values()):
                connection.close()
            node.close()

    # ---- steps of a program

    def step(self, step: Op) -> None:
        name, *args = step
        if name in ("call", "grant all", "deaf", "hear", "ping", "move", "leave"):
            args[0] %= len(self.clients)  # which may have become fewer
        getattr(self, "_" + name.replace(" ", "_"))(*args)

    def _call(self, client: int, method: str, timeout: int, on_call: Op, messages: Any, end: Any) -> None:
        one = self.clients[client]
        if one.gone or one.ended:
            return
        stream = one.begin("/" + method.replace(".", "/"), timeout)
        call = Call(len(self.calls), one, self.cell(client, method[0]), method, stream, on_call)
        if timeout:
            call.timeout = timeout / 1000
            call.earliest = self.clock.now + call.timeout
        self.calls.append(call)
        self.by_id[f"{self.ids[client]}/{stream.id}"] = call
        client_streams, _ = call.shape
        if not client_streams:
            self._send(call, messages[0][1:], last=True)
            return
        self._send_all(call, messages)
        if end is not None:
            self._end(call, end)

    def _send_all(self, call: Call, messages: Any) -> None:
        for count, *message in messages:
            for _ in range(count):
                self._send(call, message)

    def _send(self, call: Call, message: Any, last: bool = False) -> None:
        self._number += 1
        self.numbers[self._number] = (call, len(call.messages))
        call.messages.append(message)
        call.client.say(call.stream, Item(number=self._number).SerializeToString(), last)
        call.half_closed = last

    def _end(self, call: Call, script: Any) -> None:
        call.end_script = script
        call.half_closed = True
        call.client.half_close(call.stream)

    def _pick(self, number: int, kind: str) -> Call | None:
        """The number-th of the calls that a step may mean."""
        found = [each for each in self.calls if not (each.cancelled or each.client.gone)]
        if kind == "streaming":
            found = [each for each in found if each.shape[0] and not each.half_closed]
        found = [each for each in found if each.stream.status is None]
        return found[number % len(found)] if found else None

    def _say(self, number: int, messages: Any) -> None:
        call = self._pick(number, "streaming")
        if call is not None:
            self._send_all(call, messages)

    def _half(self, number: int, script: Any) -> None:
        call = self._pick(number, "streaming")
        if call is not None:
            self._end(call, script)

    def _cancel(self, number: int) -> None:
        call = self._pick(number, "open")
        if call is not None:
            call.cancelled = True
            call.client.cancel(call.stream)

    def _grant(self, number: int, bytes_: int) -> None:
        call = self._pick(number, "open")
        if call is not None:
            call.client.grant(None, bytes_)
            call.client.grant(call.stream, bytes_)

    def _grant_all(self, client: int) -> None:
        one = self.clients[client]
        one.late = False
        one.grant(None, LARGE)
        for stream in one.streams.values():
            one.grant(stream, LARGE)

    def _deaf(self, client: int) -> None:
        self.clients[client].deaf = True

    def _hear(self, client: int) -> None:
        self.clients[client].deaf = False

    def _ping(self, client: int) -> None:
        self.clients[client].ping()

    def _release(self, number: int) -> None:
        if self.gates:
            self.gates[number % len(self.gates)].event.set()

    def _release_all(self) -> None:
        for gate in self.gates:
            gate.event.set()

    def _move(self, client: int, hub: int) -> None:
        """Ask for a move in the loop, which is where hubs hear of it."""
        results: list[Any] = []

        def begin() -> None:
            found = probes.connections(self.nodes).get(self.ids[client])
            if found is not None:
                self.moves.append((client, results))
                found[0].mover.move(self.ids[client], hub, results.append)

        gevent.get_hub().loop.run_callback(begin)

    def _on_moved(self, moved: Any) -> None:
        client = self.ids.index(moved.connection)
        if moved.aborted:
            self.aborted.append(moved.aborted)
        else:
            self.moved[client] = self.moved.get(client, 0) + 1
            self.costs.moves += 1
            if self.costs.is_livelock():
                self.fault("livelock", f"client {client} moves again and again, and nothing goes on")

    def _advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def _leave(self, client: int) -> None:
        if not self.clients[client].gone:
            self.clients[client].leave()

    # ---- coming to rest

    def settle(self) -> None:
        """Let happen what happens by itself, then look at everything."""
        self._rounds(MOST_ROUNDS)
        if self.faults:
            raise self.faults[0]
        if self.errors:
            raise Fault("loop", f"raised in the loop: {self.errors[0]!r}") from self.errors[0]
        for record in self._log.records:
            if any(text in record.msg for text in FAILURES):
                raise Fault("log", record.getMessage()) from (record.exc_info or (None, None))[1]
        self.check()

    def _rounds(self, most: int, enough: bool = False) -> None:
        loop = gevent.get_hub().loop
        rounds = [0]
        main = gevent.getcurrent()

        def count() -> None:
            rounds[0] += 1
            self.costs.rounds += 1
            if rounds[0] == most or (self.faults and not enough):
                main.throw(_TooLong)

        watcher = loop.prepare()
        watcher.start(count)
        try:
            while True:
                fired = self.clock.fire_due()
                gevent.idle()
                if not self._pump() and not fired:
                    gevent.idle()
                    if not self._pump() and not self.clock.fire_due():
                        break
        except _TooLong:
            if not enough and not self.faults:
                raise Fault("rest", f"the loop does not come to rest in {most} rounds") from None
        finally:
            watcher.stop()
            watcher.close()

    def _pump(self) -> bool:
        """Let every client read and write; whether one did."""
        return sum(client.pump() for client in self.clients) > 0


class _TooLong(BaseException):
    """Too many rounds."""
