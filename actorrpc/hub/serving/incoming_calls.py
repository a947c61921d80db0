"""``IncomingCalls``: calls that other actors make of a connection's own, by reference.

They stand among the connection's calls, and their turns among those of its actors. Nothing of them touches
the client's session: what they say becomes ``Answers``, and what waits for them is counted here.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from actorrpc.errors import CallCancelled, SnapshotError, StatusCode
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.actors.cell import Cell, key_of
from actorrpc.hub.actors.turns import REQUEST
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.route import Route
from actorrpc.hub.directory.names import Name, gone, name_on_connection, service_of
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.cycles import why_circular
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.exchange.no_session import NoSession
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.phase import QUIESCING, SERVING
from actorrpc.hub.securing.facts import ClientFacts

__all__ = ["MAX_WAITING_BYTES", "IncomingCalls"]

#: Bytes of requests that wait on one connection.
MAX_WAITING_BYTES = 4 * 1024 * 1024


class IncomingCalls:
    """Those of one connection, from the first on. To each of them it is the ``CallHost``, and to what is said
    on it its owner."""

    __slots__ = ("_connection", "session", "unsettled", "waiting_bytes")

    def __init__(self, connection: CallStage) -> None:
        self._connection = connection
        self.session: Any = NoSession(connection.resources.config)
        #: Bytes of requests in mailboxes.
        self.waiting_bytes = 0
        #: The answers of calls that have ended, which not all callers are known to have heard, in order.
        self.unsettled: dict[Answers, None] = {}

    # ---- for the exchange

    @property
    def name(self) -> Name:
        """One that leads to this connection."""
        return name_on_connection("", self._connection.id, "")

    @property
    def epoch(self) -> int:
        """Of this hub, among those that the connection has come to."""
        return self._connection.moves + 1

    @property
    def takes_calls(self) -> bool:
        """Whether what comes for it may be given to it now."""
        return self._connection.phase.state in (SERVING, QUIESCING)

    def settled(self, answers: Answers) -> None:
        """The caller of a call has heard all answers to it."""
        self.unsettled.pop(answers, None)

    def receive(self, name: Name, request: Request, answers: Answers) -> None:
        """Take a call, for the actor of that name."""
        connection = self._connection
        cell = connection.cells.get(key_of(service_of(name), name[1]))
        route = connection.resources.inner_routes.get(request.method)
        if cell is None:
            answers.finish(StatusCode.NOT_FOUND, gone(service_of(name)))
        elif route is None or route.service.__rpc__.name != cell.name or route.method.client_streaming:
            answers.finish(StatusCode.UNIMPLEMENTED, f"{request.method} is not served here by reference")
        elif why := self._why_full(cell, request):
            answers.finish(StatusCode.RESOURCE_EXHAUSTED, why)
        elif not route.concurrent and (why := why_circular(f"{cell.key} on {self.id}", request.waiting)):
            answers.finish(StatusCode.FAILED_PRECONDITION, why)
        else:
            self._take(cell, route, request, answers)

    def _take(self, cell: Cell, route: Route, request: Request, answers: Answers) -> None:
        connection = self._connection
        answers.owner = self
        call = answers.call = self._make_call(answers, route, request.identity)
        call.asked(request)
        self.belongs(call, cell)
        connection.calls.begin(call, request.deadline)
        self.waiting_bytes += len(request.message)
        cell.push(REQUEST, call, request.message)
        connection.schedule.ready(cell)

    def belongs(self, call: IncomingCall[Any], cell: Cell) -> None:
        """It is for this actor, whose identity it counts as in use."""
        call.receiver = cell
        identities = self._connection.cells.identities
        if cell.identity and identities is not None:
            identities.began(cell.identity)

    def _why_full(self, cell: Cell, request: Request) -> str:
        """Why its actor takes no more calls now, or not this one; "" if it does."""
        limit = self._connection.resources.config.max_mailbox
        if limit and len(cell.mailbox) + len(cell.concurrent) >= limit:
            return f"{limit} messages wait for the actor of {cell.name} on connection {self.id}: no more may"
        if self.waiting_bytes and self.waiting_bytes + len(request.message) > MAX_WAITING_BYTES:
            return f"{self.waiting_bytes} bytes of requests wait on connection {self.id}: no more may"
        return ""

    def _make_call(self, answers: Any, route: Route, identity: str) -> IncomingCall[Any]:
        return IncomingCall(self, answers, route, key="", identity=identity)

    def restore_call(self, stream: Any, identity: str) -> IncomingCall[Any]:
        """A call that comes from another hub. Raises SnapshotError if it is not served here."""
        route = self._connection.resources.inner_routes.get(stream.head.path)
        if route is None or route.keyed is not None:
            raise SnapshotError(f"{stream.head.path} is not served here on connections")
        return self._make_call(stream, route, identity)

    def withdraw(self, answers: Answers) -> None:
        """The caller of a call wants no more of it."""
        calls = self._connection.calls
        if (call := calls.get(answers.id)) is not None:
            calls.interrupt(call, CallCancelled("the caller cancelled the call"))

    # ---- for the connection

    @property
    def open(self) -> list[IncomingCall[Any]]:
        return [call for call in self._connection.calls.values() if isinstance(call, IncomingCall)]

    @property
    def answers(self) -> list[Answers]:
        """What has been said on all calls that are not over for their callers."""
        return [*self.unsettled, *[call.stream for call in self.open]]

    def serve(self) -> None:
        """The connection is here, after a move or in place of one: callers are told."""
        self._connection.resources.exchange.arrived(self.answers)

    def left(self) -> None:
        """Another hub has the connection, or it has never been here."""
        for answers in self.answers:
            self._connection.resources.exchange.gone(answers)
            answers.call = None
        self.unsettled.clear()

    def end(self) -> list[IncomingCall[Any]]:
        """The connection ends: so do all calls, and what their callers have not heard is the exchange's
        alone. Returns the calls, whose handlers are to be interrupted."""
        calls = self.open
        for call in calls:
            if call.since:
                call.stop(StatusCode.UNAVAILABLE, "the connection of the actor has ended, in the call")
            else:
                call.stop(StatusCode.NOT_FOUND, gone(call.route.service.__rpc__.name))
        for answers in self.unsettled:
            answers.owner = None
        self.unsettled.clear()
        return calls

    # ---- for calls: as for those of the client, but for the session

    @property
    def id(self) -> str:
        return self._connection.id

    @property
    def client_facts(self) -> ClientFacts | None:
        return None  # each call has its own: another client's, perhaps

    @property
    def peer(self) -> str:
        return self._connection.peer

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        answers: Any = call.stream
        answers.call = None  # which knows it: so that both are freed at once
        if not answers.settled:
            self.unsettled[answers] = None
        self._connection.call_ended(call, status, message)

    def changed(self) -> None:
        self._connection.changed()

    def settle(self, what: str) -> None:
        self._connection.settle(what)

    def check_here(self, what: str) -> None:
        self._connection.check_here(what)

    def leave_child(self, error: BaseException | None = None) -> None:
        self._connection.leave_child(error)

    def parse(self, call: ServerCall[Any], payload: bytes, received: int) -> Message:
        return self._connection.parse(call, payload, received)

    def release(self, call: ServerCall[Any]) -> None:
        self._connection.release(call)

    def expire(self, call: ServerCall[Any]) -> None:
        self._connection.expire(call)

    def tell_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """Interceptors have seen it where it began, and not here."""

    def __repr__(self) -> str:
        return f"<IncomingCalls on {self.id}: {len(self.open)} open, {len(self.unsettled)} unsettled>"
