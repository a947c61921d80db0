"""``Activation``: one keyed actor while it lives in this hub: its calls, its turns, its end."""

from __future__ import annotations

import logging
from functools import partial
from time import monotonic
from typing import Any, Protocol

from actorrpc.actor import Service
from actorrpc.errors import CallCancelled, RpcError, SnapshotError, StatusCode
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.actors.turns import REQUEST
from actorrpc.hub.calls.call import Receiver, ServerCall
from actorrpc.hub.calls.route import Route
from actorrpc.hub.directory.names import Name
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.cycles import why_circular
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.exchange.no_session import NoSession
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.phase import CLOSED, FROZEN, QUIESCING, SERVING
from actorrpc.hub.resources import Resources
from actorrpc.loop.duties import do_all

__all__ = ["Activation", "ActivationOwner"]

log = logging.getLogger("actorrpc.hub")

#: Bytes of requests that wait for one actor.
MAX_WAITING_BYTES = 64 * 1024 * 1024


class ActivationOwner(Protocol):
    """Whoever has the keyed actors of a hub."""

    @property
    def routes(self) -> dict[str, Route]: ...
    @property
    def session(self) -> NoSession: ...
    def rests(self, activation: Activation) -> None:
        """Its last call has ended, since ``idle_since``, and nobody watches how long that is ago."""

    def ended(self, activation: Activation) -> None:
        """It is no more here, and its last turn has ended."""

    def closes(self, activation: Activation) -> None:
        """It ends, although it was about to move perhaps."""

    def left(self, activation: Activation) -> None:
        """Another hub has it."""

    def serves(self, activation: Activation) -> None:
        """It takes calls again, or for the first time."""


class Activation(CallStage):
    """One actor. Its ``id``, for the log and `actorrpc actors`, is its service and its key."""

    __slots__ = (
        "_owner",
        "cell",
        "epoch",
        "idle_since",
        "key",
        "name",
        "origin",
        "service",
        "unsettled",
        "waiting_bytes",
        "watched",
    )

    first_hook, last_hook = "on_activate", "on_passivate"

    def __init__(
        self, owner: ActivationOwner, resources: Resources, name: Name, service: type[Service], epoch: int
    ) -> None:
        super().__init__(resources, "/".join(name), "")
        self._owner = owner
        self.name = name
        self.key = name[1]
        #: Which activation of the key it is.
        self.epoch = epoch
        #: The client's connection for whose call it was made; "": for no client's.
        self.origin = ""
        self.session = owner.session
        #: When its last call ended, in this hub; 0: one is open, or none has been.
        self.idle_since = 0.0
        #: It is looked at when it may have rested for long enough.
        self.watched = False
        #: Bytes of requests in its mailbox.
        self.waiting_bytes = 0
        #: The answers of calls that have ended, which not all callers are known to have heard, in order.
        self.unsettled: dict[Answers, None] | tuple[()] = ()
        self.service = service
        #: A ``Cell``; None until it is made, and once all is over.
        self.cell: Any = None

    def activate(self) -> None:
        """Make the actor, with a new state."""
        self.cell = self.cells.make(self.service)
        self.schedule.ready(self.cell)

    # ---- calls

    def receive(self, request: Request, answers: Answers) -> None:
        """Take a call."""
        route = self._owner.routes.get(request.method)
        if route is None:
            answers.finish(StatusCode.UNIMPLEMENTED, f"unknown method {request.method}")
            self.idle()
            return
        cell = self.cell
        if (cell.busy or self.waiting_bytes) and (why := self._why_full(request)):
            answers.finish(StatusCode.RESOURCE_EXHAUSTED, why)
            return
        if request.waiting and not route.concurrent and (why := why_circular(self.id, request.waiting)):
            answers.finish(StatusCode.FAILED_PRECONDITION, why)
            return
        answers.owner = self
        call = answers.call = self._make_call(answers, route, request.identity)
        call.asked(request)
        call.receiver = cell
        self.calls.begin(call, request.deadline)
        self.waiting_bytes += len(request.message)
        cell.push(REQUEST, call, request.message)
        self.idle_since = 0.0
        self.schedule.ready(cell)

    def _make_call(self, stream: Any, route: Route, identity: str) -> IncomingCall[Any]:
        return IncomingCall(self, stream, route, key=self.key, identity=identity)

    def restore_call(self, stream: Any, identity: str) -> IncomingCall[Any]:
        route = self._owner.routes.get(stream.head.path)
        if route is None:
            raise SnapshotError(f"{stream.head.path} is not served here by key")
        return self._make_call(stream, route, identity)

    @property
    def pending_bytes(self) -> int:
        return self.waiting_bytes

    def _why_full(self, request: Request) -> str:
        """Why it takes no more calls now, or not this one; "" if it does."""
        name = self.id
        limit = self.resources.config.max_mailbox
        if limit and len(self.cell.mailbox) + len(self.cell.concurrent) >= limit:
            return f"{limit} calls wait for {name}: no more may"
        if self.waiting_bytes and self.waiting_bytes + len(request.message) > MAX_WAITING_BYTES:
            return f"{self.waiting_bytes} bytes of requests wait for {name}: no more may"
        return ""

    def withdraw(self, answers: Answers) -> None:
        """The caller of a call wants no more of it."""
        call = self.calls.get(answers.id)
        if call is not None:
            self.calls.interrupt(call, CallCancelled("the caller cancelled the call"))

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        answers: Any = call.stream
        answers.call = None  # which knows it: so that both are freed at once
        if not answers.settled:
            self.keep(answers)
        super().call_ended(call, status, message)

    def keep(self, answers: Answers) -> None:
        """A call has ended, and its caller may not have heard all."""
        if not isinstance(self.unsettled, dict):
            self.unsettled = {}
        self.unsettled[answers] = None

    def settled(self, answers: Answers) -> None:
        """The caller of a call has heard all answers to it."""
        if isinstance(self.unsettled, dict):
            self.unsettled.pop(answers, None)
            self.idle()

    @property
    def answers(self) -> list[Any]:
        """What it has said on all calls that are not over for their callers."""
        return [*self.unsettled, *[call.stream for call in self.calls.values()]]

    # ---- its life

    def resume(self) -> None:
        """Go on: it stays, or has come, unless it ends."""
        if self.phase.state != CLOSED:
            self.resume_turns()
            self._owner.serves(self)

    def let_go(self) -> None:
        """Forget it: another hub has it now, or it was never taken."""
        self.phase.state = CLOSED
        self.phase.left = True
        self.calls.leave()
        iterated: dict[Receiver, list[ServerCall[Any]]] = {}
        for call in self.calls.values():
            if call.iterator is not None:
                iterated.setdefault(call.receiver, []).append(call)
        for cell in self.cells.values():
            cell.leave()
        do_all(
            log,
            f"letting go of {self.id}",
            self.calls.stop_deadlines,
            *[partial(cell.abandon_iterators, iterated.get(cell, ())) for cell in self.cells.values()],
            self.host.end_subscriptions,
            self.release_parsed,
            partial(self._owner.left, self),
            self.phase.let_go_on,
        )
        for answers in self.answers:
            answers.call = None
        self.unsettled = ()
        self.fall_apart()

    @property
    def resting(self) -> bool:
        """Whether nothing has called for it, nothing will come of itself, and nothing runs."""
        return not (
            self.calls
            or self.unsettled
            or self.host.subscriptions
            or self.host.unacknowledged
            or self.host.tells
            or self.schedule.running
            or self.cells.busy
        )

    def idle(self) -> None:
        if self.phase.state == SERVING and not self.calls:
            self.idle_since = monotonic()
            if not self.watched:
                self._owner.rests(self)

    @property
    def takes_calls(self) -> bool:
        """Whether what comes for it may be given to it now; else it is to wait until that is settled."""
        return self.phase.state in (SERVING, QUIESCING)

    def passivate(self) -> None:
        """End it: on_passivate runs as its last turn."""
        self._close()
        self.cells.keep_last_turns()
        self.turn_ended()

    def discard(self, key: str, error: RpcError) -> None:
        """It could not be made: its calls get the error, and the next call tries again, with a new one."""
        super().discard(key, error)
        self._close()

    def _close(self) -> None:
        self.phase.state = CLOSED
        self.schedule.close()
        self.phase.let_go_on()
        self._owner.closes(self)
        self.host.end_subscriptions()

    def turn_ended(self) -> None:
        if self.finished:
            self._owner.ended(self)

    def fall_apart(self) -> None:
        self.cell = None
        super().fall_apart()

    def flush(self) -> None:
        self.schedule.work_due = False
        if self.calls.unarmed and self.phase.state not in (CLOSED, FROZEN):
            self.calls.arm()

    @property
    def idle_for(self) -> float:
        """For how many seconds it has had no call, in this hub; 0: it has one."""
        return monotonic() - self.idle_since if self.idle_since else 0.0

    def __repr__(self) -> str:
        return (
            f"<Activation {self.id} {self.phase.state}, {len(self.calls)} calls, {self.schedule.turns} turns>"
        )
