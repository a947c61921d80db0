"""The open calls of one connection: their deadlines, and what a client's cancelling interrupts."""

from __future__ import annotations

from time import monotonic
from typing import Any

from actorrpc.errors import CallCancelled, DeadlineExceeded, StatusCode
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.runtime.runners import Runners
from actorrpc.loop.timers import after
from actorrpc.wire.head import parse_timeout

__all__ = ["OpenCalls"]


class OpenCalls(dict[int, ServerCall[Any]]):
    """The calls by stream."""

    __slots__ = ("_runners", "unarmed")

    def __init__(self, runners: Runners) -> None:
        self._runners = runners
        #: Calls with a deadline that came since ``arm``: most have ended by then and need no timer.
        self.unarmed: list[ServerCall[Any]] = []

    def set_deadline(self, call: ServerCall[Any], text: str, now: float) -> None:
        """Have a call end after its ``grpc-timeout``."""
        timeout = parse_timeout(text)
        if timeout is None:
            call.end(StatusCode.INTERNAL, f"malformed grpc-timeout {text!r}")
        elif timeout == 0:
            self.expire(call)
        else:
            call.deadline = now + timeout
            self.unarmed.append(call)

    def begin(self, call: ServerCall[Any], deadline: float | None) -> None:
        """Have a call whose deadline is known, on the monotonic clock; None: it has none."""
        self[call.stream.id] = call
        if deadline is not None:
            call.deadline = deadline
            self.unarmed.append(call)

    def rearm(self, call: ServerCall[Any]) -> None:
        """Have its timer set anew: it came, or fired, while nothing may happen to the call."""
        self.unarmed.append(call)

    def arm(self) -> None:
        """Set the timers of those that are still open."""
        now = monotonic()
        for call in self.unarmed:
            if call.deadline is not None and not call.ended:
                if call.timer is not None:  # which has fired
                    call.timer.close()
                call.timer = after(max(0.0, call.deadline - now), call.host.expire, call)
        self.unarmed.clear()

    def expire(self, call: ServerCall[Any]) -> None:
        """The deadline has passed: tell the client, and interrupt the handler."""
        if call.ended:
            return
        call.stop(StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")
        call.receiver.interrupted()
        self.throw(call, DeadlineExceeded(f"{call.method}: the deadline has passed"))

    def interrupt(self, call: ServerCall[Any], error: CallCancelled) -> None:
        """The client wants no more of a call."""
        call.cancel(str(error))
        call.receiver.interrupted()
        self.throw(call, error)

    def end_all(self, status: StatusCode, message: str) -> None:
        """End every call with a status, and interrupt its handler."""
        calls = list(self.values())
        for call in calls:
            call.stop(status, message)
        for call in calls:
            self.throw(call, CallCancelled(message))

    def throw(self, call: ServerCall[Any], error: BaseException) -> None:
        """Raise an exception in the handler of a call, if one runs."""
        if call.runner is not None:
            self._runners.interrupt(call.runner, error)

    def forget(self, call: ServerCall[Any]) -> None:
        """A call has ended: drop what is kept for it, and what waits on it."""
        self.pop(call.stream.id, None)
        if call.timer is not None:
            call.timer.close()
            call.timer = None
        call.close_context()
        if call.request is not None:
            call.drop(call.request)
            call.request = None
        if call.held:
            for payload in call.held:
                call.drop(payload)
            call.held = ()

    def leave(self) -> None:
        """They go on there."""
        for call in self.values():
            call.ended = call.moved = True

    def stop_deadlines(self) -> None:
        """No timer fires any more."""
        for call in self.values():
            if call.timer is not None:
                call.timer.close()

    def clear(self) -> None:
        """Let go of them all."""
        super().clear()
        self.unarmed.clear()

    def __repr__(self) -> str:
        return f"<OpenCalls {len(self)}, {len(self.unarmed)} deadlines without a timer>"
