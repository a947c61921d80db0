"""One client connection in its hub: its session, the services called on it, and their open calls.

What the transport has read is decoded in gevent's loop; requests and messages go to the cells, and their
turns run at once. What the turns sent goes out in one ``send`` at the end. A handler that blocks leaves
control with the loop, so the connection goes on reading meanwhile.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import gevent
from gevent import get_hub
from gevent.event import Event as Signal

from actorrpc.actor import Service
from actorrpc.call import Call
from actorrpc.errors import CallCancelled, DeadlineExceeded, RpcError, StatusCode
from actorrpc.hub.actors.cell import END, MESSAGE, REQUEST, Cell, key_of
from actorrpc.hub.actors.identities import Identities
from actorrpc.hub.actors.refused import Limbo
from actorrpc.hub.actors.service_host import ServiceHost
from actorrpc.hub.calls.intercepted import Admission
from actorrpc.hub.metering.usage import Part, Usage
from actorrpc.hub.runtime.runners import Runner, get_ident
from actorrpc.hub.serving.connection_states import CLOSED, CLOSING, FROZEN, QUIESCING, SERVING
from actorrpc.hub.serving.lifetime import Upkeep
from actorrpc.hub.serving.linger import LINGER, Linger
from actorrpc.hub.serving.obstacles import why_unquiet
from actorrpc.log import about
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import after
from actorrpc.net.transport import Transport
from actorrpc.wire.events import (
    Drained,
    Event,
    Faulted,
    MessageReceived,
    RequestReceived,
    StreamEnded,
    StreamRefused,
    StreamReset,
)
from actorrpc.wire.head import parse_timeout
from actorrpc.wire.outbound import trailers
from actorrpc.wire.session import Session
from actorrpc.wire.stream import Stream

if TYPE_CHECKING:
    from actorrpc.hub.node import Node

__all__ = ["Connection"]

log = logging.getLogger("actorrpc.hub")

#: How long the turns of one connection may run before others get the hub.
TURN_SLICE = 0.002

#: With more than this to write and a client that does not read, nothing is read from it either.
OUTPUT_HIGH = 1024 * 1024

#: What is sent back of a path that is not served.
_SHOWN_PATH = 128


class Connection:
    """A socket, its session, and the services that the client has called on it."""

    __slots__ = (
        "_linger",
        "_on_quiet",
        "_ready",
        "_settled",
        "_slice_end",
        "_unarmed",
        "_work_due",
        "admission",
        "blocked",
        "caller",
        "calls",
        "cells",
        "host",
        "id",
        "identities",
        "left",
        "moves",
        "node",
        "now",
        "parsed",
        "paused",
        "peer",
        "place",
        "runners",
        "running",
        "session",
        "shared_by",
        "slice_over",
        "state",
        "transport",
        "turns",
        "upkeep",
        "usage",
    )

    def __init__(
        self, node: Node, sock: socket.socket | None, id: str, peer: str, session: Session | None = None
    ) -> None:
        self.node = node
        self.runners = node.runners
        self.id = id
        #: The client's address.
        self.peer = peer
        #: Where it stands among the connections of its node: one that comes later has a higher place.
        self.place = 0
        self.session = session or Session(node.config)
        #: What it takes of the hub. All that the loop does for it is to stand in brackets (``_work``).
        self.usage = Usage(node.meter, id)
        self.state = SERVING
        #: Open calls by stream.
        self.calls: dict[int, Call[Any]] = {}
        #: Services that were called on this connection, by full name; and for an identity by ``key_of``.
        self.cells: dict[str, Cell] = {}
        #: Where calls wait for the interceptors' on_call; None if there is none.
        self.admission = Admission(self) if node.app.chain is not None and node.app.chain.admits else None
        self.host = ServiceHost(self)
        #: Whose actors it has besides its own; None: nobody's.
        self.identities: Identities | None = None
        #: Who calls its own actors (``RequestHead.find_caller``); b"": nobody has yet, or several clients do,
        #: as that header has told (``actorrpc.hub.calls.shared_connections``).
        self.caller = b""
        self.shared_by = ""
        #: Turns so far, in all hubs, and how often it moved.
        self.turns = 0
        self.moves = 0
        #: What its handlers hold, as its node counts it.
        self.parsed = 0
        #: No turn may start: the connection moves, or is closed.
        self.paused = False
        #: Runners in its turns, and those of them that have blocked. A dict in place of a set, for its order.
        self.running = 0
        self.blocked: dict[Runner, None] | None = None
        self.now = 0.0
        self.slice_over = False
        self._slice_end = 0.0
        #: Whose turns are to be started, each once (its ``queued``). They are few, and an empty deque has 600
        #: bytes.
        self._ready: list[Cell | Admission | Limbo] = []
        #: Calls with a deadline that came since the last flush: most have ended by then and need no timer.
        self._unarmed: list[Call[Any]] = []
        self._on_quiet: Callable[[], None] | None = None
        #: Another hub serves it: this object is only what is left of it here.
        self.left = False
        #: What users' greenlets wait for while it is frozen.
        self._settled: Signal | None = None
        self._work_due = False
        self._linger: Linger | None = None
        self.transport = Transport(sock, self._on_bytes, self.close, self.changed)
        self.upkeep = Upkeep(self)

    # ---- the life of a connection

    def start(self) -> None:
        """Serve. Called once, by whoever made it: the listener, or a handoff's target."""
        self.transport.start()
        self.upkeep.start()

    def close(self, why: str = "") -> None:
        """End it now: the socket is closed, calls are cancelled, then ``on_disconnect`` runs."""
        if self.state == CLOSED:
            return
        log.debug("connection %s from %s ends: %s", self.id, self.peer, why or "closed by this server")
        self.state = CLOSED
        self.paused = False
        self._on_quiet = None
        self._let_go_on()
        self._stop_lingering()
        self.upkeep.stop()
        self.transport.close()
        self._interrupt_all(CallCancelled("the connection has gone"))
        if self.admission is not None:
            self.admission.lane.clear()
        self.host.end_subscriptions()
        for cell in self.cells.values():
            cell.keep_last_turns()
            self.ready(cell)
        self._interrupt_blocked()
        self.session.abandon()
        self.node.forget(self, finished=self._finished)
        if self._finished:
            self.fall_apart()

    def fall_apart(self) -> None:
        """The last turn of a closed connection is over: let go of the parts, which know it, so that all is
        freed at once, and not when the garbage collector next looks. The app may keep some of them."""
        self.upkeep.let_go()
        self.cells.clear()
        self._unarmed.clear()
        self._ready.clear()
        self.admission = self.identities = None
        del self.host

    def let_go(self) -> None:
        """Forget it without a word to the client: another hub serves it.

        It lets go of its parts too, which know it: so that it is freed at once, with the session and the
        actors' states, and not when the garbage collector next looks, for which all connections wait.
        """
        self.state = CLOSED
        self.left = True
        for call in self.calls.values():
            call.ended = call.moved = True
        left: dict[Cell, list[Call[Any]]] = {}  # not all calls for each cell: there may be thousands of both
        for call in self.calls.values():
            if call.iterator is not None:
                left.setdefault(call.cell, []).append(call)
        for cell in self.cells.values():
            cell.leave()
        self.host.moved = True
        do_all(
            log,
            f"letting go of connection {self.id}",
            self.transport.let_go,  # first: whoever has the socket owns the connection
            self._stop_lingering,
            self.upkeep.let_go,
            self._stop_deadlines,
            *[partial(cell.abandon_iterators, left.get(cell, ())) for cell in self.cells.values()],
            self.host.end_subscriptions,
            self._release_parsed,
            partial(self.node.forget, self),
            self._let_go_on,
        )
        self.calls.clear()
        self.cells.clear()
        self._unarmed.clear()
        self._ready.clear()
        del self.host
        self.admission = self.identities = None
        self._on_quiet = None

    def _stop_deadlines(self) -> None:
        for call in self.calls.values():
            if call.timer is not None:
                call.timer.close()

    def _release_parsed(self) -> None:
        """What handlers have that have not been called again. Iterables that are being closed still count."""
        for call in self.calls.values():
            if call.parsed and call.iterator is None and call.runner is None:
                self.node.parsed.release(self, call)

    def forked(self) -> None:
        """This is a copy in a child of the hub's process: let nothing come of what its handler does."""
        self.state = CLOSED
        self.paused = self._work_due = True
        for call in self.calls.values():
            call.ended = True

    @property
    def _finished(self) -> bool:
        """Closed, and nothing of it runs or waits to run."""
        # The last cells have their last turns last: of 10,000, asked at the end of each, one is looked at.
        cells = reversed(self.cells.values())
        return not self.running and not any(cell.mailbox or cell.lane for cell in cells)

    def shutdown(self) -> None:
        """Let open calls end, and the client begin no more of them; then close."""
        self.session.shutdown()
        self.upkeep.shut_down = monotonic()
        self.upkeep.start()
        self.changed()

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.stop()
            self._linger = None

    # ---- what the client does

    def _on_bytes(self, data: bytes) -> None:
        if self.state == CLOSING:
            return
        usage = self.usage
        began = self.now = self.upkeep.heard = monotonic()
        mark = began - usage.meter.charged
        self._slice_end = began + TURN_SLICE
        self._work_due = True  # by ourselves, below
        try:
            for event in self.session.receive_data(data, began):
                _ON_EVENT[type(event)](self, event)
            self._run_ready()
            self._flush()
        except Exception:
            log.exception("connection %s is closed: what the client sent could not be handled", self.id)
            self.close()
        finally:
            self._work_due = False
            if self._ready and not self.slice_over:  # since it was closed meanwhile; else a timer goes on
                self.changed()
        usage.spend(mark)

    def _on_request(self, event: RequestReceived) -> None:
        stream = event.stream
        node = self.node
        route = node.routes.get(stream.head.path)
        if route is None:
            self._refuse_unknown(stream)
            return
        call = self.calls[stream.id] = node.call_type(self, stream, route)
        if self.admission is None:
            if (
                route.stateful
                and stream.head.caller != self.caller
                and (error := node.sharing.look(self, stream.head)) is not None
            ):
                Limbo(self, Part(self.usage)).take(call, error)
            else:
                call.cell = self.cells.get(route.service.__rpc__.name) or self._make_cell(route.service)
        else:
            self.admission.add(call)
            self._will_run(self.admission)
        if stream.timeout:
            self._set_deadline(call, stream.timeout)

    def _refuse_unknown(self, stream: Stream) -> None:
        path = stream.head.path[:_SHOWN_PATH].encode("ascii", "replace").decode()  # as names of methods are
        self.session.refuse(stream, StatusCode.UNIMPLEMENTED, f"unknown method {path}")

    def admit(self, call: Call[Any]) -> None:
        """The interceptors have let a call through: what has come of it becomes its turns.

        Raises RpcError for an identity too many, and for a call of nobody's that is refused.
        """
        service = call.route.service
        if call.identity:
            cell = self._cell_of(service, call.identity)
        else:
            head = call.stream.head
            if call.route.stateful and head.caller != self.caller:
                error = self.node.sharing.look(self, head)
                if error is not None:
                    raise error
            cell = self.cells.get(service.__rpc__.name) or self._make_cell(service)
        call.cell = cell
        cell.release(call)
        self.ready(cell)

    def _make_cell(self, service: type[Service], identity: str = "") -> Cell:
        """The one cell of a service for an identity, from its first call on. Its instance may still be in the
        making."""
        cell = Cell(self, service, identity=identity)
        self.cells[cell.key] = cell
        cell.prepare()
        return cell

    def _cell_of(self, service: type[Service], identity: str) -> Cell:
        """The cell for a call that has an identity, which counts as that one's."""
        cell = self.cells.get(key_of(service.__rpc__.name, identity))
        identities = self._identified()
        if cell is None:
            identities.check_room(identity)
            cell = self._make_cell(service, identity)
            identities.add(cell)
            if len(identities) == 1:  # the next have more time than this one
                self.upkeep.start()
        identities.began(identity)
        return cell

    def _identified(self) -> Identities:
        if self.identities is None:
            self.identities = Identities(self)
        return self.identities

    def _on_message(self, event: MessageReceived) -> None:
        stream = event.stream
        payload = event.payload
        call = self.calls.get(stream.id)
        if call is None:  # ended by the server; the client does not know yet
            self.session.consumed(stream, len(payload))
        elif call.route.method.client_streaming:
            call.cell.push(MESSAGE, call, payload)
            if event.last:
                call.cell.push(END, call, None)
            self._will_run(call.cell)
        elif call.request is not None:
            self.session.consumed(stream, len(payload))
            call.stop(StatusCode.UNIMPLEMENTED, f"{call.method} takes one message, and more came")
        elif event.last:
            call.cell.push(REQUEST, call, payload)
            self._will_run(call.cell)
        else:
            call.request = payload

    def _on_end(self, event: StreamEnded) -> None:
        call = self.calls.get(event.stream.id)
        if call is None:
            return
        if call.route.method.client_streaming:
            call.cell.push(END, call, None)
        elif call.request is None:
            call.stop(StatusCode.UNIMPLEMENTED, f"{call.method} takes one message, and none came")
            return
        else:
            call.cell.push(REQUEST, call, call.request)
            call.request = None
        self._will_run(call.cell)

    def _on_reset(self, event: StreamReset | StreamRefused) -> None:
        call = self.calls.get(event.stream.id)
        if call is not None:
            self._interrupt(call, CallCancelled("the client cancelled the call"))

    def _on_refused(self, event: StreamRefused) -> None:
        stream = event.stream
        self.session.outbound.cut_off(stream, trailers(event.status, event.message))
        self._on_reset(event)  # to the handler it is the same

    def _on_drained(self, event: Drained) -> None:
        call = self.calls.get(event.stream.id)
        if call is not None and call.runner is None:
            call.cell.drained(call)

    def _on_fault(self, event: Faulted) -> None:
        kind = about(event.error.code)
        log.info("connection %s from %s: %s", self.id, self.peer, event.error, extra=kind)
        self.close_politely()

    def close_politely(self, until: float | None = 0.0) -> None:
        """Cancel what is open, write what is left, say that no more comes, and wait until it is taken.

        It waits for a second, or longer, ``until`` that time, while the client goes on taking bytes; with
        None for as long as it does.
        """
        if self.state in (CLOSING, CLOSED):
            return
        moving, self.state = self.state == QUIESCING, CLOSING
        if moving:
            self._on_quiet = None
            self.paused = False
            self.node.handoffs.closed(self.id)
        self._interrupt_all(CallCancelled("the connection is being closed"))
        if until is not None:
            until = max(until, monotonic() + LINGER)
        self._linger = Linger(self.close, self._untaken, until)
        self.changed()

    def _untaken(self) -> int:
        """Bytes that are written and that the client's host has not acknowledged."""
        outbound = self.session.outbound
        return outbound.pending + outbound.unsent_bytes + self.transport.untaken

    # ---- turns

    def ready(self, cell: Cell | Admission | Limbo) -> None:
        """See to it that the cell's turns start, in the hub's greenlet."""
        self._will_run(cell)
        self.changed()

    def _will_run(self, cell: Cell | Admission | Limbo) -> None:
        """As ``ready``, where ``_run_ready`` follows in any case."""
        if not cell.queued:
            cell.queued = True
            self._ready.append(cell)

    @property
    def _lanes(self) -> list[Cell | Admission]:
        """Whatever may have turns to run."""
        return [*self.cells.values()] if self.admission is None else [self.admission, *self.cells.values()]

    def _run_ready(self) -> None:
        ready = self._ready
        while ready and not self.slice_over:
            lane = ready.pop(0)
            lane.queued = False
            if len(self.cells) < 2:  # what is spent is spent for it
                lane.start()
            else:
                lane.part.within(lane.start)

    def run(self, job: Callable[[Runner], None], part: Part) -> None:
        """Run turns, in the hub's greenlet, until they end or block. The job calls ``drained`` at its end."""
        self.running += 1
        runner = self.runners.start(job, part)
        if runner is not None:
            if self.blocked is None:
                self.blocked = {}
            self.blocked[runner] = None
            self._look_at_slice()

    def _continue(self) -> None:
        """A new slice, after others had the hub."""
        self.node.meter.runnable -= 1
        self.slice_over = False
        for cell in self._lanes:
            if cell.mailbox or cell.lane:
                self._will_run(cell)
        self._work()

    def _work(self) -> None:
        usage = self.usage
        self.begin_slice()
        mark = usage.begin(self.now)
        self._work_due = True
        try:
            self._run_ready()
            self._flush()
        finally:
            self._work_due = False
            if self._ready and not self.slice_over:  # since it was closed meanwhile; else a timer goes on
                self.changed()
        usage.spend(mark)

    def begin_slice(self) -> None:
        """Turns begin after the loop did something else: what that took is not theirs.

        A slice is turns in a row. A turn that ends after the slice's end ends it (``use_slice``), so that
        nothing is gained by beginning often.
        """
        now = self.now = monotonic()
        if now > self._slice_end:
            self._slice_end = now + TURN_SLICE

    def use_slice(self, runner: Runner) -> None:
        """Something has been taken from a queue, on that runner: end the slice when it is used up."""
        now = self.now = monotonic()
        if now > self._slice_end and not self.slice_over:
            if now - runner.resumed < TURN_SLICE:  # it had blocked, and others had the hub
                self._slice_end = runner.resumed + TURN_SLICE
                return
            self._end_slice()

    def _look_at_slice(self) -> None:
        """A turn has blocked: what it computed before is of the slice."""
        now = self.now = monotonic()
        if now > self._slice_end and not self.slice_over:
            self._end_slice()

    def _end_slice(self) -> None:
        self.slice_over = True
        self.node.meter.runnable += 1
        # A timer: callbacks run many times before the loop looks at other connections.
        after(0, self._continue)

    def count_turn(self, runner: Runner) -> None:
        """A turn has ended: count it."""
        self.turns += 1
        self.use_slice(runner)
        node = self.node
        node.turns += 1
        if node.move_every:
            node.count_turn(self)

    def drained(self, cell: Cell | Admission | Limbo) -> None:
        """A runner has left the cell: nothing waits there, or it may not go on."""
        self.running -= 1
        if self.blocked:
            self.blocked.pop(gevent.getcurrent(), None)  # type: ignore[call-overload]
        if self.state == CLOSED and self._finished:
            self.node.finished(self)
        if self._on_quiet is not None:
            self.notice_quiet()
        elif (cell.mailbox or cell.lane) and not self.paused and not self.slice_over:
            self.ready(cell)
        else:
            self.changed()  # what was taken may open windows, or let more be read

    # ---- calls

    def _set_deadline(self, call: Call[Any], text: str) -> None:
        timeout = parse_timeout(text)
        if timeout is None:
            call.end(StatusCode.INTERNAL, f"malformed grpc-timeout {text!r}")
        elif timeout == 0:
            self.expire(call)
        else:
            call.deadline = self.now + timeout
            self._unarmed.append(call)

    def _arm_deadlines(self) -> None:
        now = monotonic()
        for call in self._unarmed:
            if call.deadline is not None and not call.ended:
                if call.timer is not None:  # which has fired while the connection was frozen
                    call.timer.close()
                call.timer = after(max(0.0, call.deadline - now), self.expire, call)
        self._unarmed.clear()

    def expire(self, call: Call[Any]) -> None:
        """The deadline has passed: tell the client, and interrupt the handler."""
        if call.ended:
            return
        if self.state == FROZEN:  # whoever serves it next does that; if it is this hub, the timer is set anew
            self._unarmed.append(call)
            return
        call.stop(StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        call.cell.interrupted()
        self._throw(call, DeadlineExceeded(f"{call.method}: the deadline has passed"))

    def _interrupt_all(self, error: CallCancelled) -> None:
        """Cancel every call, then interrupt the handlers: no turn of another may begin in between."""
        calls = list(self.calls.values())
        for call in calls:
            call.cancel(str(error))
        for cell in self.cells.values():
            cell.drop_ended()
        for call in calls:
            self._throw(call, error)

    def end_calls(self, status: StatusCode, message: str) -> None:
        """End every call with a status, and interrupt its handler."""
        calls = list(self.calls.values())
        for call in calls:
            call.stop(status, message)
        for call in calls:
            self._throw(call, CallCancelled(message))

    def _interrupt(self, call: Call[Any], error: CallCancelled) -> None:
        call.cancel(str(error))
        call.cell.interrupted()
        self._throw(call, error)

    def _throw(self, call: Call[Any], error: BaseException) -> None:
        runner: Any = call.runner
        if runner is not None:
            self._tell(runner, error)

    def _tell(self, runner: Runner, error: BaseException) -> None:
        """Raise it in a runner's turn, unless that runs, or is shielded, or has been told."""
        here = gevent.getcurrent()
        if runner is here or runner.shielded or runner.told == runner.since:
            return
        runner.told = runner.since
        if here is self.runners.hub:
            runner.throw(error)
        else:
            get_hub().loop.run_callback(_throw_later, runner, runner.since, error)

    def _interrupt_blocked(self) -> None:
        """Tell handlers of calls that had ended before: the client has gone."""
        for runner in list(self.blocked or ()):
            self._tell(runner, CallCancelled("the connection has gone"))

    def call_ended(self, call: Call[Any], status: StatusCode, message: str) -> None:
        """Drop what the hub kept for the call, and see to it that its actor hears of the end."""
        self.calls.pop(call.stream_id, None)
        if call.timer is not None:
            call.timer.close()
            call.timer = None
        if call._context is not None:
            call.close_context()
        if call.request is not None:
            self.session.consumed(call.stream, len(call.request))
            call.request = None
        if call.held:
            for payload in call.held:
                if payload is not None:
                    self.session.consumed(call.stream, len(payload))
            call.held = ()
        if call.runner is None:
            if call.iterator is not None:
                call.cell.close_iterator(call)
            elif call.parsed:  # its handler is not called again after the move
                self.node.parsed.release(self, call)
        if call.cell.ends is not None:
            call.cell.call_ended(call, status, message)
        if self.host.by_call:
            self.host.end_subscriptions(call)
        if self.identities is not None:
            self.identities.ended(call)
        if call.cancelled and call.runner is not None:  # unless `_throw` follows
            self.runners.hub.loop.run_callback(self._throw, call, CallCancelled("the call has ended"))
        if not self.calls:
            self.upkeep.idle_since = monotonic()
        self.changed()

    def tell_ended(self, call: Call[Any], status: StatusCode, message: str) -> None:
        """A call that interceptors see has ended."""
        self.node.endings.add(call, status, message)

    def discard(self, cell: Cell, error: RpcError) -> None:
        """Drop an actor that could not be made; its calls get the error, the next call tries again."""
        self.cells.pop(cell.key, None)
        self.host.end_subscriptions(cell=cell)
        cell.discard()
        limbo = Limbo(self, cell.part)
        for call in [call for call in self.calls.values() if call.cell is cell]:
            if self.identities is not None:
                self.identities.ended(call)
            limbo.take(call, error)
        if self.identities is not None:
            self.identities.forget(cell)

    # ---- bytes out

    def changed(self) -> None:
        """Something may have to be written or run: look once, when the loop has come round."""
        if not self._work_due:
            self._work_due = True
            self.runners.hub.loop.run_callback(self._work)

    def _flush(self) -> None:
        self._work_due = False
        if self.state in (CLOSED, FROZEN):
            return
        session = self.session
        transport = self.transport
        while transport.ready and (data := session.data_to_send()):
            if not transport.send(data):
                break
        if self.state == CLOSED:  # the client has gone: `send` has seen it
            return
        if not transport.ready or session.outbound.unsent_bytes or self.usage.unsent:
            self.usage.waits(transport.unsent + session.outbound.pending + session.outbound.unsent_bytes)
        if session.eventful:
            for event in session.drain_events():
                _ON_EVENT[type(event)](self, event)
            if self._ready or session.eventful:
                self.changed()
        if self._unarmed:
            self._arm_deadlines()
        if session.over and self.state == SERVING:
            self.close_politely(self.upkeep.grace_ends)
        if self.state == CLOSING and transport.ready and session.outbound.idle:
            transport.half_close()
        if not transport.ready and session.outbound.pending > OUTPUT_HIGH:
            transport.stop_reading()  # until the client has taken what waits

    # ---- moving (see actorrpc.hub.moving.snapshot and actorrpc.handoff)

    def quiesce(self, on_quiet: Callable[[], None]) -> None:
        """Start no more turns; call ``on_quiet`` once nothing has to be waited for (``why_unquiet``).

        It goes on reading, so that a PING is answered and a cancellation heard while a handler blocks.
        """
        self.state = QUIESCING
        self.paused = True
        self._on_quiet = on_quiet
        if self._work_due or gevent.getcurrent() is not self.runners.hub:
            self.notice_quiet()  # after that work, and off this stack
        else:
            self._check_quiet()

    def notice_quiet(self) -> None:
        """Something that a quiesce may wait for has come about."""
        if self._on_quiet is not None:
            get_hub().loop.run_callback(self._check_quiet)

    def _check_quiet(self) -> None:
        if self._on_quiet is not None and not why_unquiet(self):
            on_quiet, self._on_quiet = self._on_quiet, None
            on_quiet()

    def freeze(self) -> bytes:
        """From now on nothing is read or written. Returns what the socket has not taken of earlier writes."""
        self.state = FROZEN
        return self.transport.freeze()

    def resume(self) -> None:
        """Serve again after a quiesce or freeze that led to nothing, or for the first time after a thaw."""
        if self.state in (CLOSING, CLOSED):
            return
        self.state = SERVING
        self.paused = False
        self._on_quiet = None
        for cell in self.cells.values():
            cell.unhold()
        self._let_go_on()
        self.transport.start()
        for subscription in self.host.subscriptions:
            self.node.topics.catch_up(subscription)
        for lane in self._lanes:
            self._will_run(lane)
        self.changed()
        # The client has waited: what it has sent meanwhile comes first, not after a round of the loop.
        self.transport.read()
        if self.state != CLOSED:
            self.upkeep.start()

    def hold(self) -> None:
        """Its snapshot stands: until it is settled who serves it, nobody may change what is in there.

        No turn runs, and nothing is read. Deadlines wait (``expire``), and so do greenlets of users' own
        (``settle``).
        """
        for cell in self.cells.values():
            cell.hold()

    def settle(self, what: str) -> None:
        """Wait while the connection is frozen: what is done to it then would be lost if it moves.

        Raises RuntimeError where nobody can wait, in gevent's own greenlet, and in another thread always.
        """
        if get_ident() != self.runners.thread:  # as `check_thread`, without a call for each send
            self.runners.check_thread()
        while self.state == FROZEN:
            if gevent.getcurrent() is self.runners.hub:
                raise RuntimeError(
                    f"cannot {what} now: connection {self.id} is on its way to another hub, and a callback "
                    "of the loop cannot wait for the end of that. Do it in a greenlet (gevent.spawn)"
                )
            if self._settled is None:
                self._settled = Signal()
            self._settled.wait()

    def check_here(self, what: str) -> None:
        """Wait while the connection is frozen, and raise RuntimeError if another hub serves it."""
        if self.state == FROZEN:
            self.settle(what)
        if self.left:
            raise RuntimeError(
                f"cannot {what}: connection {self.id} is served by another hub now. A greenlet of your own "
                "does not move with it: do the work in turns"
            )

    def _let_go_on(self) -> None:
        """Whoever waits for the end of the move may go on."""
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def thaw_hooks(self) -> None:
        """Queue on_thaw, before all other turns, where on_freeze has run and it does not wait already."""
        for cell in self.cells.values():
            cell.thaw_hook()

    def take(self, cell: Cell, since: float) -> None:
        """Take up a cell of a snapshot; its identity's last call, if it has one, ended then."""
        self.cells[cell.key] = cell
        if cell.identity:
            self._identified().add(cell, since)

    def thawed(self, call: Call[Any]) -> None:
        """Take up a call of a snapshot."""
        self.calls[call.stream_id] = call
        self._unarmed.append(call)

    @property
    def state_bytes(self) -> int:
        """The size of its actors' states, serialized."""
        return sum(cell.state_bytes for cell in self.cells.values())

    def __repr__(self) -> str:
        return f"<Connection {self.id} {self.peer} {self.state}, {len(self.calls)} calls, {self.turns} turns>"


def _throw_later(runner: Runner, since: float, error: BaseException) -> None:
    if runner.since == since and not (runner.shielded or runner.dead):
        runner.throw(error)


_ON_EVENT: dict[type[Event], Callable[[Connection, Any], None]] = {
    RequestReceived: Connection._on_request,
    MessageReceived: Connection._on_message,
    StreamEnded: Connection._on_end,
    StreamReset: Connection._on_reset,
    StreamRefused: Connection._on_refused,
    Drained: Connection._on_drained,
    Faulted: Connection._on_fault,
}
