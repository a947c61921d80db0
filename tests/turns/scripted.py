"""What handlers, hooks and interceptors do, as scripts say, and what the reference is told of it."""

from __future__ import annotations

import contextvars
import weakref
from typing import Any

import gevent
import gevent.event

from actorrpc.errors import CallInterrupted, RpcError, StatusCode
from tests.apps.shapes_pb2 import Item

from .client import Client
from .clock import Clock
from .costs import Costs
from .program import Op, Program, Script
from .raised import Scripted, error_of
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

__all__ = ["Doings"]

VAR: contextvars.ContextVar[str | None] = contextvars.ContextVar("model", default=None)

#: Bytes of replies of one program; more of them are small. They only take time.
MOST_BYTES = 2_000_000


class Doings:
    """The part of a world that services call."""

    program: Program
    clock: Clock
    costs: Costs
    clients: list[Client]
    ids: list[str]
    calls: list[Call]
    batch: int

    def __init__(self) -> None:
        self.scripts = dict(self.program.hooks)
        self.hooks = tuple(self.scripts)
        self.hook_runs: dict[tuple[Cell, str], int] = {}
        self.cells: dict[tuple[int, str], Cell] = {}
        self.by_id: dict[str, Call] = {}
        #: Messages by the number that the client gives them: their call and index.
        self.numbers: dict[int, tuple[Call, int]] = {}
        self.gates: list[Gate] = []
        #: Nothing waits any more.
        self.open = False
        #: How often each client's connection has moved.
        self.moved: dict[int, int] = {}
        self.publications: list[Publication] = []
        self.subscriptions: list[Subscription] = []
        self.instances: list[weakref.ref[Any]] = []
        self.faults: list[Fault] = []
        self._number = 0
        self._bytes_left = MOST_BYTES

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
        self._context(f"{name} of {cell}")
        for op in self._hook_script(cell, name):
            if op[0] == "gate":
                self.wait(name, cell.client, cell, None)
            elif op[0] == "var":
                VAR.set(f"{name} of {cell}")
            elif op[0] != "pub" or not self._endless(name):
                self._common(op, instance, cell)

    def _hook_script(self, cell: Cell, name: str) -> Script:
        """What the hook does this time."""
        scripts = self.scripts[name]
        turn = self.hook_runs.get((cell, name), 0)
        self.hook_runs[cell, name] = turn + 1
        return scripts[min(turn, len(scripts) - 1)]

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

    def call_end(self, instance: Any, call: Any, status: int) -> None:
        """``on_call_end``."""
        ref = self._ref(call)
        cell = ref.cell
        try:
            if call in instance.calls or not call.ended:
                raise Fault("on_call_end", f"it runs for {ref}, which is open")
            if ref.stream.status not in (None, status) and not ref.cancelled:
                raise Fault("on_call_end", f"{ref} ended with {ref.stream.status}, and it is told {status}")
            ref.hear_end(instance, self.moved.get(cell.client, 0), status)
            self._context(f"{ref}")
        except Fault as fault:
            self.faults.append(fault)
            raise
        cell.hook = "on_call_end"
        try:
            for op in self._hook_script(cell, "on_call_end"):
                if op[0] == "gate":
                    self.wait("on_call_end", cell.client, cell, None)
                elif op[0] == "var":
                    VAR.set(f"{ref}")
                else:
                    self._common(op, instance, cell)
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
            raise error_of(op[1])

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
        ref.seen = True
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
            if not isinstance(error, Scripted):
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
            raise error_of(op[1])
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
        ref.iterating += 1
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
        finally:
            ref.iterating -= 1

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
