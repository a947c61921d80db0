"""One client connection in its hub: what the client does becomes calls, and turns of their services.

What the transport has read is decoded in gevent's loop; requests and messages go to the cells, and their
turns run at once. What the turns sent goes out in one ``send`` at the end. A handler that blocks leaves
control with the loop, so the connection goes on reading meanwhile.

Of what it is made: ``ServerSession`` and ``net.Pump`` for the bytes, ``OpenCalls`` and ``Cells`` for the
calls and the actors, ``IncomingCalls`` for calls by other actors, ``Schedule`` for all their turns,
``ServiceHost`` for what actors ask, ``LifetimeTimer`` for what time does, ``Phase`` for where it is in its
life.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from actorrpc.errors import CallCancelled, SnapshotError, StatusCode
from actorrpc.hub.actors.admission import Admission
from actorrpc.hub.actors.call_stage import CallStage, Restorer
from actorrpc.hub.actors.refused import RefusedCalls
from actorrpc.hub.actors.turns import END, MESSAGE, REQUEST
from actorrpc.hub.calls.call import Receiver, ServerCall
from actorrpc.hub.calls.intercepted import InterceptedCall
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.phase import CLOSED, CLOSING, FROZEN, QUIESCING, SERVING
from actorrpc.hub.resources import Resources
from actorrpc.hub.securing.facts import ClientFacts, SecureFacts
from actorrpc.hub.serving.incoming_calls import IncomingCalls
from actorrpc.hub.serving.lifetime import Lifetime
from actorrpc.hub.serving.lifetime_timer import LifetimeTimer
from actorrpc.hub.serving.relay import FirstMessage, Relay
from actorrpc.log import about
from actorrpc.loop.duties import do_all
from actorrpc.net.proxy_header import ProxyFacts
from actorrpc.net.pump import Pump
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
from actorrpc.wire.flood import STEP
from actorrpc.wire.responses import trailers
from actorrpc.wire.server import ServerSession
from actorrpc.wire.stream import Stream

if TYPE_CHECKING:
    from actorrpc.hub.securing.transport import Secured, SecureTransport

__all__ = ["Connection", "ConnectionOwner"]

log = logging.getLogger("actorrpc.hub")

#: Why a call is refused whose method has a stream of requests, for a keyed actor.
NO_STREAMS = (
    "is of a keyed actor, and takes a stream of requests, which is not served: make a call for each message"
)

#: What is sent back of a path that is not served.
_SHOWN_PATH = 128


class ConnectionOwner(Protocol):
    """Whoever has the connections of a hub."""

    def closes(self, connection: Connection) -> None:
        """It closes although it was about to move."""

    def forget(self, connection: Connection, *, finished: bool = True) -> None:
        """It has been closed, or has moved. If its last turns still run, ``finished`` follows."""

    def finished(self, connection: Connection) -> None:
        """The last turn of a closed connection has ended."""


class Connection(CallStage):
    """A socket, its session, and the services that the client has called on it.

    What it has besides other carriers of actors (``CallStage``) is the bytes, and what time does to it.
    """

    __slots__ = (
        "_owner",
        "caller",
        "incoming",
        "proxied",
        "pump",
        "secure",
        "shared_by",
        "timer",
    )

    session: ServerSession

    def __init__(
        self,
        owner: ConnectionOwner,
        resources: Resources,
        sock: socket.socket | None,
        id: str,
        peer: str,
        session: ServerSession | None = None,
        secured: Secured | None = None,
    ) -> None:
        super().__init__(resources, id, peer)
        self._owner = owner
        self.session = session or ServerSession(resources.config)
        if resources.chain is not None and resources.chain.admits:
            self.cells.admission = Admission(self.schedule, self.admit)
        #: Who calls its own actors (``RequestHead.find_caller``); b"": nobody has yet, or several clients do,
        #: as that header has told (``actorrpc.hub.calls.shared_connections``).
        self.caller = b""
        self.shared_by = ""
        #: Calls of its own actors by others; None: there has been none.
        self.incoming: IncomingCalls | None = None
        #: What a proxy has said of its client; None: nothing.
        self.proxied: ProxyFacts | None = None
        #: What is known of a client that speaks TLS; None: it does not.
        self.secure: SecureFacts | None = None
        if secured is None:
            transport = Transport(sock, self)
        else:
            self.secure = secured.facts
            transport = secured.transport(sock, self)
        self.pump = Pump(transport, self.session)
        self.timer = LifetimeTimer(self, Lifetime(resources.config))

    # ---- its life

    def start(self) -> None:
        """Serve. Called once, by whoever made it: the listener, or a handoff's target."""
        self.pump.transport.start()
        self.timer.start()

    def shutdown(self) -> None:
        """Let open calls end, and the client begin no more of them; then close."""
        self.session.shutdown()
        self.timer.times.shut_down = monotonic()
        self.timer.start()
        self.changed()

    def close_politely(self, until: float | None = 0.0) -> None:
        """Cancel what is open, and close when the client has taken what is left (``Pump.part``)."""
        phase = self.phase
        if phase.state in (CLOSING, CLOSED):
            return
        moving, phase.state = phase.state == QUIESCING, CLOSING
        if moving:
            self.schedule.resume()
            self._owner.closes(self)
        self.cancel_all("the connection is being closed")
        self.pump.part(self.close, until)
        self.changed()

    def close(self, why: str = "") -> None:
        """End it now: the socket is closed, calls are cancelled, then ``on_disconnect`` runs."""
        if self.phase.state == CLOSED:
            return
        ids = {"connection": self.id}
        why = why or "closed by this server"
        log.debug("connection %s from %s ends: %s", self.id, self.peer, why, extra=ids)
        self.phase.state = CLOSED
        self.schedule.close()
        self.phase.let_go_on()
        self.timer.stop()
        self.pump.close()
        self.cancel_all("the connection has gone")
        self.host.end_subscriptions()
        self.cells.keep_last_turns()
        self.schedule.interrupt_blocked()
        self.session.abandon()
        self._owner.forget(self, finished=self.finished)
        if self.finished:
            self.fall_apart()

    def let_go(self) -> None:
        """Forget it without a word to the client: another hub serves it.

        It lets go of its parts too, which know it: so that it is freed at once, with the session and the
        actors' states, and not when the garbage collector next looks, for which all connections wait.
        """
        self.phase.state = CLOSED
        self.phase.left = True
        self.calls.leave()
        # Not all calls for each cell: there may be thousands of both.
        iterated: dict[Receiver, list[ServerCall[Any]]] = {}
        for call in self.calls.values():
            if call.iterator is not None:
                iterated.setdefault(call.receiver, []).append(call)
            call.receiver.left()
        for cell in self.cells.values():
            cell.leave()
        do_all(
            log,
            f"letting go of connection {self.id}",
            self.pump.transport.let_go,  # first: whoever has the socket owns the connection
            self.pump.stop_waiting,
            self.timer.let_go,
            self.calls.stop_deadlines,
            *[partial(cell.abandon_iterators, iterated.get(cell, ())) for cell in self.cells.values()],
            self.host.end_subscriptions,
            self.release_parsed,
            self.incoming.left if self.incoming is not None else _nothing,
            partial(self._owner.forget, self),
            self.phase.let_go_on,
        )
        self.fall_apart()

    def cancel_all(self, why: str) -> None:
        calls = [] if self.incoming is None else self.incoming.end()
        super().cancel_all(why)
        for call in calls:
            self.calls.throw(call, CallCancelled(why))

    # ---- what the client does

    def on_bytes(self, data: bytes) -> None:
        if self.phase.state == CLOSING:
            return
        usage, schedule = self.usage, self.schedule
        began = self.timer.times.heard = monotonic()
        mark = began - usage.meter.charged
        schedule.begin(began)
        try:
            for event in self.session.receive_data(data, began):
                _ON_EVENT[type(event)](self, event)
            schedule.run_ready()
            self.flush()
        except Exception:
            ids = about(connection=self.id)
            log.exception(
                "connection %s is closed: what the client sent could not be handled", self.id, extra=ids
            )
            self.close()
        finally:
            schedule.end()
        usage.spend(mark)

    def on_end(self, why: str) -> None:
        self.close(why)

    def on_work(self, units: int) -> None:
        """The client has had so much done for nothing that is no frame."""
        self.session.flood.unsettled += units
        if self.session.flood.unsettled >= STEP:
            self.on_bytes(b"")  # which looks at the budget, also where no frame comes

    def on_broken(self, why: str) -> None:
        if self.phase.state == CLOSING:  # what comes after that is of no account
            return
        log.info("connection %s from %s: %s", self.id, self.peer, why, extra=about(connection=self.id))
        self.close_politely()

    @property
    def pinned(self) -> str:
        """Why it can never move; "" if it can."""
        secure = self.secure_transport
        return "" if secure is None else secure.pinned

    @property
    def secure_transport(self) -> SecureTransport | None:
        """Its transport, if its client speaks TLS."""
        return None if self.secure is None else cast("SecureTransport", self.pump.transport)

    @property
    def client_facts(self) -> ClientFacts | None:
        return self.proxied if self.secure is None else self.secure

    def _on_request(self, event: RequestReceived) -> None:
        stream = event.stream
        resources = self.resources
        route = resources.routes.get(stream.head.path)
        if route is None:
            path = stream.head.path[:_SHOWN_PATH].encode("ascii", "replace").decode()  # as of methods
            self.session.refuse(stream, StatusCode.UNIMPLEMENTED, f"unknown method {path}")
            return
        keyed = route.keyed
        if keyed is not None and route.method.client_streaming:
            self.session.refuse(stream, StatusCode.UNIMPLEMENTED, f"{route.path} {NO_STREAMS}")
            return
        call = self.calls[stream.id] = resources.call_type(self, stream, route)
        resources.calls += 1
        cells = self.cells
        if keyed is not None and cells.admission is None:
            call.receiver = Relay(self, call)
        elif keyed is not None and keyed.field:
            call.receiver = FirstMessage(Part(self.usage), self.await_admission)
        elif cells.admission is None:
            if (
                route.stateful
                and stream.head.caller != self.caller
                and (error := resources.sharing.look(self, stream.head)) is not None
            ):
                RefusedCalls(self.schedule, Part(self.usage)).take(call, error)
            else:
                call.receiver = cells.get(route.service.__rpc__.name) or cells.make(route.service)
        else:
            self.await_admission(call)
        if stream.timeout:
            self.calls.set_deadline(call, stream.timeout, self.schedule.now)

    def await_admission(self, call: ServerCall[Any]) -> None:
        """Have the interceptors' ``on_call`` run."""
        admission = self.cells.admission
        assert admission is not None
        admission.add(call)
        self.schedule.will_run(admission)

    def _on_message(self, event: MessageReceived) -> None:
        stream = event.stream
        payload = event.payload
        call = self.calls.get(stream.id)
        if call is None:  # ended by the server; the client does not know yet
            self.session.inbound.consumed(stream, len(payload))
        elif call.route.method.client_streaming:
            call.receiver.push(MESSAGE, call, payload)
            if event.last:
                call.receiver.push(END, call, None)
            self.schedule.will_run(call.receiver)
        elif call.request is not None:
            call.drop(payload)
            call.stop(StatusCode.UNIMPLEMENTED, f"{call.method} takes one message, and more came")
        elif event.last:
            call.receiver.push(REQUEST, call, payload)
            self.schedule.will_run(call.receiver)
        else:
            call.request = payload

    def _on_half_close(self, event: StreamEnded) -> None:
        call = self.calls.get(event.stream.id)
        if call is None:
            return
        if call.route.method.client_streaming:
            call.receiver.push(END, call, None)
        elif call.request is None:
            call.stop(StatusCode.UNIMPLEMENTED, f"{call.method} takes one message, and none came")
            return
        else:
            call.receiver.push(REQUEST, call, call.request)
            call.request = None
        self.schedule.will_run(call.receiver)

    def _on_reset(self, event: StreamReset | StreamRefused) -> None:
        call = self.calls.get(event.stream.id)
        if call is not None:
            self.calls.interrupt(call, CallCancelled("the client cancelled the call"))

    def _on_refused(self, event: StreamRefused) -> None:
        stream = event.stream
        self.session.outbound.cut_off(stream, trailers(event.status, event.message))
        self._on_reset(event)  # to the handler it is the same

    def _on_drained(self, event: Drained) -> None:
        call = self.calls.get(event.stream.id)
        if call is not None and call.runner is None:
            call.receiver.drained(call)

    def _on_fault(self, event: Faulted) -> None:
        kind = about(event.error.code, connection=self.id)
        log.info("connection %s from %s: %s", self.id, self.peer, event.error, extra=kind)
        self.close_politely()

    def incoming_calls(self) -> IncomingCalls:
        """Those of its own actors by others."""
        if self.incoming is None:
            self.incoming = IncomingCalls(self)
        return self.incoming

    def restorer(self, incoming: bool) -> Restorer:
        return self.incoming_calls() if incoming else self

    def restore_call(self, stream: Stream, identity: str) -> ServerCall[Any]:
        route = self.resources.routes.get(stream.head.path)
        if route is None:
            raise SnapshotError(f"{stream.head.path} is not served here")
        call = self.resources.call_type(self, stream, route)
        if identity:
            if not isinstance(call, InterceptedCall):
                raise SnapshotError("its calls have identities, and this hub's app gives them none")
            call.restore_identity(identity)
        return call

    @property
    def pending_bytes(self) -> int:
        session = self.session
        incoming = 0 if self.incoming is None else self.incoming.waiting_bytes
        return session.inbound.held + session.inbound.unsplit.size + session.outbound.pending + incoming

    # ---- actors

    def admit(self, call: ServerCall[Any]) -> None:
        """The interceptors have let a call through: what has come of it becomes its turns.

        Raises RpcError for an identity too many, and for a call of nobody's that is refused.
        """
        service, cells = call.route.service, self.cells
        if call.route.keyed is not None:
            relay = call.receiver = Relay(self, call)
            relay.release(call)
            return
        if call.identity:
            cell = cells.of_identity(service, call.identity)
            if cells.identities is not None and len(cells.identities) == 1:  # the next have more time
                self.timer.start()
        else:
            head = call.stream.head
            if call.route.stateful and head.caller != self.caller:
                error = self.resources.sharing.look(self, head)
                if error is not None:
                    raise error
            cell = cells.get(service.__rpc__.name) or cells.make(service)
        call.receiver = cell
        cell.release(call)
        self.schedule.ready(cell)

    def on_writable(self) -> None:
        self.schedule.wake()

    def idle(self) -> None:
        self.timer.times.idle_since = monotonic()

    def fall_apart(self) -> None:
        self.timer.let_go()
        self.incoming = None
        super().fall_apart()

    # ---- what its turns lead to

    def flush(self) -> None:
        """Write what there is, and set what deadlines need."""
        self.schedule.work_due = False
        phase, session, pump = self.phase, self.session, self.pump
        if phase.state in (CLOSED, FROZEN):
            return
        pump.flush()
        if phase.state == CLOSED:  # the client has gone: `flush` has seen it
            return
        if not pump.transport.ready or session.outbound.unsent_bytes or self.usage.unsent:
            self.usage.waits(pump.waiting)
        if session.eventful:
            for event in session.drain_events():
                _ON_EVENT[type(event)](self, event)
            if self.schedule.has_ready or session.eventful:
                self.changed()
        if self.calls.unarmed:
            self.calls.arm()
        if session.over and phase.state == SERVING:
            self.close_politely(self.timer.times.grace_ends)

    def turn_ended(self) -> None:
        if self.finished:
            self._owner.finished(self)

    def __repr__(self) -> str:
        state, turns = self.phase.state, self.schedule.turns
        return f"<Connection {self.id} {self.peer} {state}, {len(self.calls)} calls, {turns} turns>"


def _nothing() -> None: ...


_ON_EVENT: dict[type[Event], Callable[[Connection, Any], None]] = {
    RequestReceived: Connection._on_request,
    MessageReceived: Connection._on_message,
    StreamEnded: Connection._on_half_close,
    StreamReset: Connection._on_reset,
    StreamRefused: Connection._on_refused,
    Drained: Connection._on_drained,
    Faulted: Connection._on_fault,
}
