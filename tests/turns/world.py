"""A program as it runs: hubs, clients and the reference, in one process and one loop.

The model's own code runs in the main greenlet; after each batch it lets the loop come to rest (``settle``)
and compares (``check``).
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import logging
import os
import socket
import weakref
from typing import Any

import gevent
import gevent.event

from actorrpc.config import Config
from actorrpc.errors import CallInterrupted, RpcError, StatusCode
from tests.apps.shapes_pb2 import Item

from . import probes
from .client import LARGE, Client
from .clock import Clock
from .costs import Costs
from .program import Op, Program
from .reference import (
    CODES,
    TOPIC_BASE,
    UNKNOWN,
    Call,
    Cell,
    Fault,
    Gate,
    Iteration,
    Publication,
    Subscription,
)
from .services import app_of, current

__all__ = ["World", "run"]

VAR: contextvars.ContextVar[str | None] = contextvars.ContextVar("model", default=None)

#: Rounds of the loop that may pass before it is at rest, for one batch: 1,500 replies, one in each slice,
#: are 1,500 rounds.
MOST_ROUNDS = 6_000

#: Bytes of replies of one program; more of them are small. They only take time.
MOST_BYTES = 2_000_000

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


class World:
    """See the module's docstring."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.clock = Clock(program.tick)
        self.scripts = dict(program.hooks)
        self.hooks = tuple(name for name, _ in program.hooks)
        self.admits = "on_call" in program.interceptors
        self.hook_runs: dict[tuple[Cell, str], int] = {}
        self.clients: list[Client] = []
        self.ids: list[str] = []
        self.cells: dict[tuple[int, str], Cell] = {}
        self.calls: list[Call] = []
        self.by_id: dict[str, Call] = {}
        #: Messages by the number that the client gives them: their call and index.
        self.numbers: dict[int, tuple[Call, int]] = {}
        self.gates: list[Gate] = []
        #: Nothing waits any more.
        self.open = False
        self.moves: list[tuple[int, list[Any]]] = []
        #: How often each client's connection has moved.
        self.moved: dict[int, int] = {}
        self.aborted: list[str] = []
        self.batch = 0
        self.publications: list[Publication] = []
        self.subscriptions: list[Subscription] = []
        self.instances: list[weakref.ref[Any]] = []
        self.errors: list[BaseException] = []
        self.costs = Costs(self)
        self.faults: list[Fault] = []
        self._log = _Log()
        self._number = 0
        self._bytes_left = MOST_BYTES
        self._fds = 0
        self.nodes: list[Any] = []
        self._undo: Any = None

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
            move_every=program.move_every,
            flood_burst=0,
            permit_keepalive_time=0,
            max_unsent_bytes=64 << 20,
        )
        app = app_of(self.hooks, program.interceptors)
        self.nodes = probes.nodes_of(app, config, program.hubs, self._on_moved)
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
            logger, logger.propagate = self._logger
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
                found[0].move(self.ids[client], hub, results.append)

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

    # ---- what services tell

    def cell(self, client: int, service: str) -> Cell:
        key = client, service
        if key not in self.cells:
            self.cells[key] = Cell(client, service, self.hooks if service != "S" else ())
        return self.cells[key]

    def fault(self, kind: str, text: str) -> None:
        """Note a fault where it would be caught."""
        self.faults.append(Fault(kind, text))

    def _cell_of(self, instance: Any) -> Cell:
        return self.cell(self.ids.index(instance.connection_id), type(instance).__name__)

    def _ref(self, call: Any) -> Call:
        return self.by_id[call.id]

    def _context(self, owner: str) -> None:
        seen = VAR.get()
        if seen is not None and seen != owner:
            raise Fault("context", f"{owner} sees what {seen} has set")

    def wait(self, what: str, client: int, cell: Cell | None, call: Call | None) -> None:
        """Block until a step lets it go on."""
        if self.open:
            return
        gate = Gate(gevent.event.Event(), what, client, cell, call)
        self.gates.append(gate)
        try:
            gate.event.wait()
        finally:
            self.gates.remove(gate)

    def make(self, instance: Any) -> None:
        """``__init__``."""
        cell = self._cell_of(instance)
        self.instances.append(weakref.ref(instance))
        try:
            cell.make()
        except Fault as fault:
            self.faults.append(fault)
            raise
        try:
            if "init" in self.hooks and cell.service != "S":
                self._obey_hook(instance, cell, "init")
        except BaseException as error:
            self._may_end(cell, error)
            raise
        finally:
            cell.making -= 1

    def _obey_hook(self, instance: Any, cell: Cell, name: str) -> None:
        scripts = self.scripts[name]
        turn = self.hook_runs.get((cell, name), 0)
        self.hook_runs[cell, name] = turn + 1
        self._context(f"{name} of {cell}")
        for op in scripts[min(turn, len(scripts) - 1)]:
            if op[0] == "gate":
                self.wait(name, cell.client, cell, None)
            elif op[0] == "var":
                VAR.set(f"{name} of {cell}")
            elif op[0] != "pub" or not self._endless(name):
                self._common(op, instance, cell)

    def _endless(self, hook: str) -> bool:
        """Whether what the hook publishes could lead to its running again."""
        return hook == "on_topic" or (bool(self.program.move_every) and hook in ("on_freeze", "on_thaw"))

    def hook(self, instance: Any, name: str) -> None:
        cell = self._cell_of(instance)
        client = self.clients[cell.client]
        try:
            if name == "on_disconnect":
                cell.disconnects += 1
                if not (client.gone or client.ended) or cell.disconnects > 1:
                    raise Fault("order", f"on_disconnect of {cell} runs, {cell.disconnects}")
            if name == "on_freeze" and client.gone and self.costs.rested_gone(cell.client):
                raise Fault("order", f"on_freeze of {cell} runs, and its client has gone")
            if name == "on_thaw":
                cell.thaw_due = False
            cell.enter(instance, self.moved.get(cell.client, 0), True, name)
            if name == "on_thaw":
                cell.thaw_due = False
        except Fault as fault:
            self.faults.append(fault)
            raise
        cell.hook = name
        if name == "on_freeze":
            cell.thaw_due = "on_thaw" in self.hooks
        try:
            self._obey_hook(instance, cell, name)
        except BaseException as error:
            if name == "on_connect":
                self._may_end(cell, error)
                cell.dropped()
            raise
        else:
            if name == "on_connect":
                cell.connected = True
        finally:
            cell.hook = ""
            cell.leave(True)

    def _may_end(self, cell: Cell, error: BaseException) -> None:
        """The actor could not be made: calls that had no turn yet may end with that."""
        codes = CODES["odd"] if isinstance(error, RpcError) else {UNKNOWN}
        for call in self.calls:
            if call.cell is cell and call.due is None:
                call.maybe |= codes

    def topic(self, instance: Any, topic: str, number: int) -> None:
        cell = self._cell_of(instance)
        self.costs.units += 1
        self.costs.progress()
        try:
            cell.enter(instance, self.moved.get(cell.client, 0), True, "on_topic")
        except Fault as fault:
            self.faults.append(fault)
            raise
        subscription = cell.subscriptions.get(topic)
        if subscription is not None:
            subscription.got.append(number)
        cell.hook = "on_topic"
        try:
            if "on_topic" in self.hooks:
                self._obey_hook(instance, cell, "on_topic")
        finally:
            cell.hook = ""
            cell.leave(True)

    # ---- interceptors

    def on_call(self, call: Any) -> None:
        ref = self._ref(call)
        try:
            if ref.admission:
                raise Fault("order", f"on_call of {ref} runs twice")
            self._context(f"{ref}")
        except Fault as fault:
            self.faults.append(fault)
            raise
        ref.admission = "runs"
        try:
            self._intercept(ref, call, ref.on_call, "on_call")
        finally:
            ref.admission = "done"

    def on_request(self, call: Any, message: Item) -> None:
        ref, index = self.numbers[message.number]
        instance = ref.cell.instance and ref.cell.instance()
        del instance
        self._intercept(ref, call, ref.messages[index][0], "on_request")

    def _intercept(self, ref: Call, call: Any, op: Op, what: str) -> None:
        """Do what an interceptor's hook is told to."""
        if not op:
            return
        if op[0] == "gate":
            self.wait(what, ref.cell.client, ref.cell, ref)
        elif op[0] == "nap":
            gevent.sleep(0)
        elif op[0] == "finish":
            if not call.ended:
                ref.denied = True
                ref.finish({op[1]})
                call.finish(StatusCode(op[1]), "no")
        elif op[0] == "raise":
            ref.denied = True
            ref.finish(CODES[op[1]])
            raise _error(op[1])

    def on_end(self, call: Any, status: int, message: str) -> None:
        self._ref(call).told.append((status, message))

    # ---- handlers

    def handle(self, instance: Any, call: Any, message: Item | None) -> Any:
        """The turn of a message, or of the half-close."""
        ref = self._ref(call)
        index = -1 if message is None else self.numbers[message.number][1]
        what = "its end" if message is None else f"message {index}"
        self.costs.units += 1
        self.costs.sample()
        self._begin(instance, ref, what)
        try:
            fresh = ref.take_end() if message is None else ref.take(index)
        except Fault as fault:
            self.faults.append(fault)
            raise
        if fresh:
            self.costs.progress()
        script = ref.end_script if message is None else ref.messages[index][1]
        try:
            return self._obey(instance, ref, call, script, index, fresh)
        except CallInterrupted:
            raise
        except BaseException as error:
            if not isinstance(error, _Scripted):
                self.fault("error", f"{what} of {ref}: {error!r}")
            ref.finish(CODES[getattr(error, "kind", "bug")])
            raise
        finally:
            ref.done()

    def _obey(self, instance: Any, ref: Call, call: Any, script: Any, index: int, fresh: bool) -> Any:
        client_streams, server_streams = ref.shape
        for op in script or ():
            if op[0] == "yield":
                if server_streams and not call.ended:
                    return self._iterate(instance, ref, call, op, index)
            elif fresh:
                self._do(op, instance, ref, call)
        if server_streams:
            return None
        if client_streams and index >= 0:
            return None
        reply = Item(number=self._next())
        if not call.ended:
            ref.send(reply.number, reply.ByteSize())
            ref.finish({0})
        return reply

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _do(self, op: Op, instance: Any, ref: Call, call: Any) -> None:
        name = op[0]
        streams = ref.shape[1]
        if name == "gate":
            self.wait("turn", ref.cell.client, ref.cell, ref)
        elif name == "var":
            VAR.set(f"{ref}")
        elif name == "send":
            if streams:
                self._reply(ref, call, op[1], op[2])
        elif name == "push":
            for other in self._others(instance, call):
                self._reply(self._ref(other), other, op[1], op[2])
        elif name == "end others":
            for other in self._others(instance, call):
                self._ref(other).finish({0})
                other.finish()
        elif name == "finish":
            if not call.ended and (streams or op[1]):
                ref.finish({op[1]})
                call.finish(StatusCode(op[1]))
        elif name == "listen":
            if streams and not call.ended and op[1] not in ref.subscriptions:
                ref.subscriptions[op[1]] = self._subscription(op[1], ref.cell.client)
                instance.subscribe(op[1], call)
        else:
            self._common(op, instance, ref.cell)

    def _others(self, instance: Any, call: Any) -> list[Any]:
        return [each for each in instance.calls if each is not call and self._ref(each).shape[1]]

    def _common(self, op: Op, instance: Any, cell: Cell) -> None:
        """What hooks do as well."""
        name = op[0]
        if name == "nap":
            gevent.sleep(0)
        elif name == "burn":
            self.clock.advance(0.003)
        elif name == "raise":
            raise _error(op[1])
        elif name == "sub":
            if cell.service != "S" and op[1] not in cell.subscriptions and not self.clients[cell.client].gone:
                cell.subscriptions[op[1]] = self._subscription(op[1], cell.client)
                instance.subscribe(op[1])
        elif name == "unsub":
            if cell.service != "S" and op[1] in cell.subscriptions:
                cell.subscriptions.pop(op[1]).active = False
                instance.unsubscribe(op[1])
        elif name == "pub":
            for _ in range(op[2]):
                number = TOPIC_BASE + self._next()
                self.publications.append(Publication(number, op[1], cell.client, self.batch))
                self.costs.published += 1
                instance.publish(op[1], Item(number=number))

    def _subscription(self, topic: str, client: int) -> Subscription:
        subscription = Subscription(topic, client, self.batch)
        self.subscriptions.append(subscription)
        return subscription

    def _reply(self, ref: Call, call: Any, count: int, size: int) -> None:
        for _ in range(count):
            if call.ended:
                return
            item = self._item(size)
            ref.send(item.number, item.ByteSize())
            self.costs.replies += 1
            call.send(item)

    def _item(self, size: int) -> Item:
        """A reply of about so many bytes, until enough have been sent."""
        if self._bytes_left < size:
            size = 0
        self._bytes_left -= size
        return Item(number=self._next(), body=bytes(size))

    def _iterate(self, instance: Any, ref: Call, call: Any, op: Op, index: int) -> Any:
        iteration = ref.iteration
        self.costs.units += 3
        if iteration is None:
            iteration = ref.iteration = Iteration(index, op)
        elif int(call.cursor or b"0") != iteration.at:
            text = f"{ref} goes on after {call.cursor!r}, not {iteration.at}"
            self.fault("cursor", text)
        return self._replies(instance, ref, call, iteration)

    def _replies(self, instance: Any, ref: Call, call: Any, iteration: Iteration) -> Any:
        """The iterable: each of its steps is a turn."""
        count, cursor, between = iteration.op[1], iteration.op[3], iteration.op[4]
        try:
            while True:
                self.costs.units += 1
                self._begin(instance, ref, f"reply {iteration.at}")
                try:
                    if iteration.at == count:
                        ref.iteration = None
                        if iteration.message == -1 or not ref.shape[0]:
                            ref.finish({0})
                        return
                    item = self._next_reply(instance, ref, call, iteration, between, cursor)
                finally:
                    ref.done()
                yield item
        except GeneratorExit:
            if between == ("var",):
                VAR.set(f"{ref}")
            raise

    def _begin(self, instance: Any, ref: Call, what: str) -> None:
        try:
            ref.begin(instance, self.moved.get(ref.cell.client, 0), what)
            self._context(f"{ref}")
        except Fault as fault:
            self.faults.append(fault)
            raise

    def _next_reply(
        self, instance: Any, ref: Call, call: Any, iteration: Iteration, between: Op, cursor: bool
    ) -> Item:
        if between:
            self._do(between, instance, ref, call)
        self.costs.sample()
        iteration.at += 1
        self.costs.replies += 1
        self.costs.progress()
        if cursor:
            call.cursor = b"%d" % iteration.at
        item = self._item(iteration.op[2])
        if not call.ended:
            ref.send(item.number, item.ByteSize())
        return item

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

    # ---- what has to be true at rest

    def check(self) -> None:
        now = self.clock.now
        serving = probes.connections(self.nodes)
        self.costs.progress()
        for number, client in enumerate(self.clients):
            self._check_client(number, client, self.ids[number] in serving)
        for call in self.calls:
            if call.client.gone or call.client.ended:
                call.dead = call.dead or self.ids[call.cell.client] not in serving
                continue
            reads = not call.client.unread and not call.client.unsent
            if call.cancelled and reads:
                call.dead = True
            if call.timeout and reads and call.latest == float("inf"):
                call.latest = now + call.timeout
            if not call.cancelled:
                self._check_call(call, reads, now)
        for client, results in self.moves:
            if not results and not any(gate.client == client for gate in self.gates):
                raise Fault("move", f"the move of client {client} waits for nothing")

    def _check_client(self, number: int, client: Client, served: bool) -> None:
        if client.gone:
            if served and not self._may_pause(number):
                raise Fault("unread", f"client {number} has gone, and keeps its place")
            if not served:
                self.costs.note_gone(number)
            return
        if client.ended or client.goaway:
            raise Fault("closed", f"client {number} was sent away")
        if client.deaf:
            return
        if client.unread or client.unsent:
            if not self._may_pause(number):
                raise Fault("unread", f"nothing is read from client {number}: neither PING nor RST_STREAM")
        elif client.answered != client.pings:
            raise Fault("ping", f"client {number} got {client.answered} of {client.pings} answers")

    def _may_pause(self, number: int) -> bool:
        """More messages wait for handlers than may wait: then nothing more is read."""
        waiting = 0
        for call in self.calls:
            if call.cell.client != number or call.stream.status is not None:
                continue
            why = call.why_not(self.gates, self.admits)
            if why and "behind" not in why:
                waiting += call.stream.sent - call.handled
        return waiting > self.program.max_mailbox // 2  # once it has stopped, it reads again from there on

    def _check_call(self, call: Call, reads: bool, now: float) -> None:
        client, stream = call.client, call.stream
        self._check_replies(call)
        if client.deaf:
            return
        if call.due is None and reads and now >= call.latest:
            call.due = {4}
        if stream.status is not None:
            if not call.acceptable(stream.status, now):
                raise Fault("status", f"{call} has ended with {stream.status}, not {call.due}: {stream.text}")
            if stream.status == 0 and call.got != len(call.sent):
                raise Fault("replies", f"{call} has got {call.got} of {len(call.sent)} replies")
            return
        if stream.reset:
            return
        late = now >= call.earliest or not reads
        if call.behind > 0 and stream.granted > 0 and client.granted > 0 and not late:
            raise Fault("window", f"{call} has {call.behind} bytes to send, and windows that are open")
        if call.due is not None and call.behind <= 0:
            if call.subscriptions and (stream.granted <= 0 or client.granted <= 0):
                return
            raise Fault("status", f"{call} has not ended, and should with {call.due}")
        turn = call.next_turn()
        if self.admits and not call.admission and not call.over:
            turn = turn or "on_call"
        if not turn or not reads or self._moving(call.cell.client):
            return
        if not call.why_not(self.gates, self.admits):
            raise Fault("due", f"{turn} of {call} has not run, and nothing keeps it from running")

    def _moving(self, client: int) -> bool:
        """A turn is waited for, so that no other may begin."""
        return any(number == client and not results for number, results in self.moves) or (
            bool(self.program.move_every) and any(gate.client == client for gate in self.gates)
        )

    def _check_replies(self, call: Call) -> None:
        messages = call.stream.messages
        for payload in messages:
            number = Item.FromString(payload).number
            if number > TOPIC_BASE:
                call.topic_bytes += 5 + len(payload)
                self._check_topic(call, number)
                continue
            if call.got == len(call.sent) or call.sent[call.got][0] != number:
                expected = call.sent[call.got : call.got + 1]
                raise Fault("replies", f"{call} got reply {number}, and {expected} is next")
            call.got += 1
        messages.clear()

    def _check_topic(self, call: Call, number: int) -> None:
        topic = next(each.topic for each in self.publications if each.number == number)
        subscription = call.subscriptions.get(topic)
        if subscription is None:
            raise Fault("topic", f"{call} got a message of {topic}, which it has not subscribed to")
        subscription.got.append(number)

    # ---- the end

    def finish(self) -> None:
        """Everything is released, and read: then all must come to its end."""
        self.batch += 1
        self.open = True
        self._release_all()
        for number, client in enumerate(self.clients):
            if not client.gone:
                client.deaf = False
                self._grant_all(number)
        self.settle()
        for call in self.calls:
            if call.shape[0] and not call.half_closed and not call.over:
                self._end(call, (("finish", 0),))
        self.settle()
        self.check_topics()
        for call in self.calls:
            if not call.over:
                call.cancelled = True
                call.client.cancel(call.stream)
        self.settle()
        self.clock.advance(10)
        self.settle()
        for node in self.nodes:
            for what in probes.leftovers(node):
                raise Fault("rest", what)
        self.costs.check()
        self._check_told()
        self._still_serves()

    def check_topics(self) -> None:
        alive = {number for number, client in enumerate(self.clients) if not client.gone}
        for subscription in self.subscriptions:
            got = subscription.got
            if len(set(got)) != len(got):
                raise Fault("topic", f"{subscription} got a message twice")
            for publisher in range(len(self.clients)):
                own = [e.number for e in self.publications if e.client == publisher and e.number in set(got)]
                if own != [number for number in got if number in set(own)]:
                    raise Fault("topic", f"{subscription} got messages out of order")
            if not subscription.active or subscription.client not in alive:
                continue
            for each in self.publications:
                if (
                    each.topic == subscription.topic
                    and each.batch > subscription.batch
                    and each.client in alive
                    and each.number not in got
                    and self._subscribed(subscription)
                ):
                    raise Fault("topic", f"{subscription} has not got {each}")

    def _subscribed(self, subscription: Subscription) -> bool:
        """Whether who subscribed is there still."""
        for call in self.calls:
            if subscription in call.subscriptions.values():
                return not call.over
        return any(subscription in cell.subscriptions.values() for cell in self.cells.values())

    def _check_told(self) -> None:
        if "on_end" not in self.program.interceptors:
            return
        for call in self.calls:
            if len(call.told) > 1:
                raise Fault("on_end", f"on_end of {call} has run {len(call.told)} times: {call.told}")
            if call.client.gone:
                continue
            if not call.told:
                raise Fault("on_end", f"on_end of {call} has not run")
            if (
                call.stream.status is not None
                and call.told[0][0] != call.stream.status
                and not call.cancelled
            ):
                raise Fault("on_end", f"on_end of {call} was told {call.told}, not {call.stream.status}")

    def _still_serves(self) -> None:
        """Each connection answers, moves, and answers again."""
        for number, client in enumerate(self.clients):
            if client.gone:
                continue
            self._call(number, "S.One", 0, (), ((1, (), ()),), ())
            client.ping()
            self.settle()
            if len(self.nodes) == 1:
                continue
            here = probes.connections(self.nodes)[self.ids[number]][0].hub
            self._move(number, (here + 1) % len(self.nodes))
            self.settle()
            (result,) = self.moves[-1][1]
            hooks = {"on_freeze", "init", "on_thaw"} & set(self.hooks)
            if result.outcome != result.MOVED and not hooks and not self.program.move_every:
                raise Fault("move", f"client {number} cannot be moved: {result.why}")
            self._call(number, "S.One", 0, (), ((1, (), ()),), ())
            self.settle()

    def end(self) -> None:
        """The clients leave: nothing of them stays."""
        for client in self.clients:
            if not client.gone:
                client.leave()
        self.settle()
        self.clock.advance(10)
        self.settle()
        for number, id in enumerate(self.ids):
            if id in probes.connections(self.nodes):
                raise Fault("rest", f"the connection of client {number} is still there")
        if "on_disconnect" in self.hooks:
            for cell in self.cells.values():
                made = cell.instance is not None and (cell.connected or "on_connect" not in self.hooks)
                if cell.service != "S" and made and cell.disconnects != 1:
                    raise Fault("order", f"on_disconnect of {cell} has run {cell.disconnects} times")
        self.close_nodes()

    def close_nodes(self) -> None:
        for node in self.nodes:
            if node._finishing:
                raise Fault("rest", f"{node._finishing} still finish")
            node.close()
        self._rounds(200)
        del node
        self.nodes.clear()
        self._log.records.clear()  # what was raised keeps frames, and these what they saw
        gc.collect(0)
        fds = len(os.listdir("/proc/self/fd"))
        if fds > self._fds:
            raise Fault("rest", f"{fds - self._fds} descriptors are left: {_descriptors()}")
        for each in self.instances:
            if each() is not None:
                raise Fault("rest", f"{each()!r} is left")


def _descriptors() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return found


class _TooLong(BaseException):
    """Too many rounds."""


class _Scripted(BaseException):
    """Stands in the bases of what a script raises, so that the model knows its own."""

    kind = "bug"


class _Bug(ZeroDivisionError, _Scripted):
    kind = "bug"


class _Exit(SystemExit, _Scripted):
    kind = "exit"


class _Rpc(RpcError, _Scripted):
    kind = "rpc"


class _Odd(RpcError, _Scripted):
    kind = "odd"

    def __init__(self) -> None:
        super().__init__(StatusCode.NOT_FOUND, "")
        self.message = KeyError("x")  # type: ignore[assignment]


def _error(kind: str) -> BaseException:
    match kind:
        case "rpc":
            return _Rpc(StatusCode.NOT_FOUND, "as asked")
        case "odd":
            return _Odd()
        case "exit":
            return _Exit(3)
    return _Bug("as asked")
