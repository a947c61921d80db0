"""What a connection does where its app has interceptors: calls that show them replies and their own end,
and admission, where ``on_call`` runs before a call's service learns of it.

Nothing of this is made for an app without interceptors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

from gevent import get_hub
from google.protobuf.message import Message

from actorrpc.call import Call, Reply
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.actors.cell import END, is_mostly_stale
from actorrpc.hub.calls.failures import contain, fail
from actorrpc.hub.calls.identity import check_identity, check_unset
from actorrpc.hub.calls.variables import run_as_turn, run_in
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.runners import Runner, Runners
from actorrpc.interceptor import Chain

if TYPE_CHECKING:
    from actorrpc.app import Route
    from actorrpc.call import CallHost
    from actorrpc.hub.serving.connection import Connection
    from actorrpc.wire.stream import Stream

__all__ = ["Admission", "Endings", "InterceptedCall"]


class InterceptedCall(Call[Reply]):
    """A call whose replies and whose end the app's interceptors see, and which may have an identity."""

    __slots__ = ("_identity",)

    def __init__(self, host: CallHost, stream: Stream, route: Route) -> None:
        super().__init__(host, stream, route)
        self._identity = ""

    @property
    def identity(self) -> str:
        return self._identity

    @identity.setter
    def identity(self, value: str) -> None:
        check_unset(value, self._identity)
        if not isinstance(self.cell, Admission):
            raise RuntimeError(
                "call.identity is set before the call has an actor: in an interceptor's on_call"
            )
        check_identity(value)
        self._identity = value

    def restore_identity(self, value: str) -> None:
        """Take over what was set in another hub."""
        self._identity = value

    @property
    def _chain(self) -> Chain:
        assert self.route.chain is not None
        return self.route.chain

    def send(self, message: Reply, *, compress: bool = True) -> None:
        method = self.route.method
        self._host.settle("send")  # before an on_reply runs in another thread, or while the connection moves
        if self.ended or not (isinstance(message, method.reply) and method.server_streaming):
            super().send(message, compress=compress)  # which says what is wrong
            return
        message = self._seen(message)  # type: ignore[assignment]
        if not self._is_over:  # else an on_reply has ended it: this was the last that the handler could send
            super().send(message, compress=compress)

    def send_published(self, payload: bytes, compress: bool = True) -> None:
        if self._chain.sees_replies:
            try:
                payload = self._seen(self.route.method.reply.FromString(payload)).SerializeToString()
            except BaseException as error:
                fail(self, error)
        if not self.ended:
            self.send_payload(payload, compress)

    @property
    def _is_over(self) -> bool:
        """``ended``, read anew."""
        return self.ended

    def _seen(self, message: Message) -> Message:
        """What the interceptors make of a reply, which goes out if the call has not ended then."""
        chain = self._chain
        return run_in(self, chain.reply, self, message) if chain.sees_replies else message

    def reply(self, message: Message) -> None:
        message = self._seen(message)
        if not self.ended:
            super().reply(message)
            if not self.cancelled:  # as a reply over a limit is: `end` has told that
                self._tell(StatusCode.OK, "")

    def end(
        self, status: StatusCode, message: str = "", metadata: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        if not self.ended:
            super().end(status, message, metadata)
            self._tell(status, message)

    def cancel(self, why: str) -> None:
        if not self.ended:
            super().cancel(why)
            self._tell(StatusCode.CANCELLED, why)

    def _tell(self, status: StatusCode, message: str) -> None:
        self._host.tell_ended(self, status, message)


class Endings:
    """Calls that have ended, until their interceptors have been told.

    They are told in gevent's loop, where a hook that blocks gets an error instead of holding up others.
    """

    def __init__(self, runners: Runners) -> None:
        self._runners = runners
        self._loop = get_hub().loop
        self._due: list[tuple[Call[Any], StatusCode, str]] = []

    def add(self, call: Call[Any], status: StatusCode, message: str) -> None:
        if not self._due:
            self._loop.run_callback(self.tell)
        self._due.append((call, status, message))

    def tell(self) -> None:
        """Run ``on_end`` of all that have ended."""
        due, self._due = self._due, []
        for call, status, message in due:
            assert call.route.chain is not None
            for error in run_in(call, call.route.chain.ended, call, status, message):
                contain(error)
            self._runners.leave_child()

    def __repr__(self) -> str:
        return f"<Endings {len(self._due)} due>"


class Admission:
    """The calls of one connection whose ``on_call`` has to run. To them it stands where their cell will.

    Like a cell it runs its turns in order, and goes on with the next one when a hook blocks. A call's
    messages wait in ``call.held``.
    """

    __slots__ = ("_stale", "connection", "lane", "part", "queued")

    #: As no cell has: it is nobody's service, and what it ends has a price.
    serves = False
    instance = ends = None
    mailbox = ()

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.part = Part(connection.usage)
        #: The connection has it among those whose turns it is to start.
        self.queued = False
        #: Calls that were interrupted since the lane was last cleared of them.
        self._stale = 0
        #: Calls whose turn has not begun.
        self.lane: deque[Call[Any]] = deque()

    def add(self, call: Call[Any]) -> None:
        """Queue a call."""
        call.cell = self
        self.lane.append(call)

    def push(self, kind: int, call: Call[Any], payload: bytes | None) -> None:
        """Keep a message, or the half-close, for when the call has been admitted."""
        call.hold(None if kind == END else payload)

    def drained(self, call: Call[Any]) -> None:
        """What the call holds is for its cell."""

    def interrupted(self) -> None:
        """A call was cancelled. Those that have ended go when they come up, or when most are such."""
        self._stale += 1
        if is_mostly_stale(self._stale, len(self.lane)):
            self._stale = 0
            open_calls = [call for call in self.lane if not call.ended]
            self.lane.clear()
            self.lane.extend(open_calls)

    def start(self) -> None:
        """Run what waits, in the gevent hub's greenlet, until it blocks or the slice is used up."""
        connection = self.connection
        while self.lane and not connection.paused and not connection.slice_over:
            connection.run(self._drain, self.part)

    def _drain(self, runner: Runner) -> None:
        connection = self.connection
        try:
            while self.lane and not connection.paused and not connection.slice_over:
                self._admit(self.lane.popleft(), runner)
                connection.count_turn(runner)
        finally:
            connection.drained(self)

    def _admit(self, call: Call[Any], runner: Runner) -> None:
        if call.ended:
            return
        connection = self.connection
        if call.deadline is not None and monotonic() >= call.deadline:
            connection.expire(call)
            return
        run_as_turn(call, runner, _run_hooks, call)
        if not call.ended:
            call.since = 0.0  # no handler has had it
            try:
                connection.admit(call)
            except RpcError as error:  # it has too many identities
                fail(call, error)

    def __repr__(self) -> str:
        return f"<Admission {len(self.lane)} calls wait>"


def _run_hooks(call: Call[Any]) -> None:
    assert call.route.chain is not None
    try:
        call.route.chain.admit(call)
    except BaseException as error:
        fail(call, error)
