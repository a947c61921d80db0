"""``ThreadConversation``: one call of an actor, as a thread has it that is not the hub's.

The loop makes the call and hears the answers; whoever has it may be in any thread, also in several. Both
sides change what is known under its lock: it ends once, by whatever comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TypeVar

from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent

from actorrpc.errors import StatusCode
from actorrpc.hub.directory.names import Name
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.outgoing import Fields, OutgoingCall, Request
from actorrpc.hub.invoking.callbacks import Callbacks
from actorrpc.hub.invoking.conversation import CANCELLED, LATE, Conversation, call_back, cannot_wait
from actorrpc.hub.runtime.runners import Runners
from actorrpc.loop.timers import after
from actorrpc.loop.wakeup import WakeUp, make_lock

__all__ = ["ThreadConversation"]

Reply = TypeVar("Reply")


class ThreadConversation(Conversation):
    """``post`` has the loop call a function. What is told of the call is told in the loop; whoever reads it
    may be anywhere but in a child that was forked."""

    __slots__ = ("_lock", "_over", "_post", "_reply", "_threads", "_told")

    def __init__(
        self,
        exchange: Exchange,
        runners: Runners,
        request: Request,
        post: Callable[[Callable[[], object]], None],
        threads: Callbacks,
    ) -> None:
        super().__init__(exchange, runners, request.method)
        self._deadline = request.deadline
        self._post = post
        #: Where callbacks run.
        self._threads = threads
        self._lock = make_lock()
        #: Who waits.
        self._told: list[WakeUp] = []
        #: The one of a method with a single reply, for whoever asks, as often as they do.
        self._reply: bytes | None = None
        #: What the loop does at the end of it.
        self._over: Callable[[ThreadConversation], object] | None = None

    # ---- in the loop

    def on_over(self, then: Callable[[ThreadConversation], object]) -> None:
        """Have ``then(self)`` called in the loop when the call is over there."""
        self._over = then

    def begin(self, name: Name, request: Request) -> None:
        if self.status is not None:
            return
        if self._deadline is not None:
            remaining = self._deadline - monotonic()
            if remaining <= 0:
                self.fail(StatusCode.DEADLINE_EXCEEDED, LATE)
                return
            self._timer = after(remaining, self._expire)
        outgoing = self._exchange.begin(name, request, self)
        # Where a thread has ended it meanwhile, the loop is about to be told so.
        if outgoing.id in self._exchange.outgoing:
            self._outgoing = outgoing

    def on_headers(self, fields: Fields) -> None:
        with self._lock:
            if self.status is None:
                self.initial = fields
                self._wake()

    def on_message(self, payload: bytes) -> None:
        with self._lock:
            if self.status is None:
                super().on_message(payload)

    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        self._end(status, message, fields, reply)
        self._leave(None)

    def _expire(self) -> None:
        self._end(StatusCode.DEADLINE_EXCEEDED, LATE)
        self._leave(self._exchange.expire)

    def _leave(self, leave: Callable[[OutgoingCall], None] | None) -> None:
        """It is over for whoever had it: let go of what the loop has of it."""
        outgoing, self._outgoing = self._outgoing, None
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        over, self._over = self._over, None
        if over is not None:
            over(self)
        if outgoing is not None and leave is not None:
            leave(outgoing)

    # ---- in any thread

    def _end(
        self,
        status: StatusCode,
        message: str,
        fields: Fields = (),
        reply: bytes | None = None,
        *,
        cancelled: bool = False,
    ) -> bool:
        """Whether it had not ended before."""
        with self._lock:
            if self.status is not None:
                return False
            self._reply = reply
            if self.initial is None:
                self.initial = ()
            self.message, self.trailing, self.cancelled = message, fields, cancelled
            self.status = status  # last: who looks without the lock sees all
            self._wake()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._threads.call(callback, self.method)
        return True

    def _end_here(self, leave: Callable[[OutgoingCall], None], status: StatusCode, message: str) -> bool:
        """End it for all threads now, and in the loop soon."""
        ended = self._end(status, message, cancelled=status is StatusCode.CANCELLED)
        if ended:
            self._have(lambda: self._leave(leave))
        return ended

    def _have(self, function: Callable[[], object]) -> None:
        """Have the loop call a function, unless the hub has stopped and all is over there."""
        with suppress(RuntimeError):
            self._post(function)

    def cancel(self) -> bool:
        self._check_process()
        return self._end_here(self._exchange.withdraw, StatusCode.CANCELLED, CANCELLED)

    def take(self) -> bytes | None:
        self._check_process()
        with self._lock:
            if not self.replies:
                return self._reply
            congested = self.congested
            payload = self.replies.popleft()
            self.size -= len(payload)
            drained = congested and not self.congested and self.status is None
        if drained:
            self._have(self._go_on)
        return payload

    def _go_on(self) -> None:
        if self._outgoing is not None:
            self._exchange.go_on(self._outgoing)

    def reply(self, parse: Callable[[bytes], Reply]) -> Reply:
        self.wait(self.has_ended)
        return super().reply(parse)

    def wait(self, known: Callable[[], bool], timeout: float | None = None) -> bool:
        """Also until the deadline, which ends it, whatever the loop does."""
        self._check_process()
        until = None if timeout is None else monotonic() + timeout
        while not known():
            remaining = None if until is None else until - monotonic()
            left = self.time_remaining()
            if left == 0.0:
                self._end_here(self._exchange.expire, StatusCode.DEADLINE_EXCEEDED, LATE)
            elif remaining is not None and remaining <= 0.0:
                return False
            else:
                self._wait_for_news(known, _earlier(remaining, left))
        return True

    def _wait_for_news(self, known: Callable[[], bool], timeout: float | None) -> None:
        if getcurrent() is get_hub_if_exists():
            raise cannot_wait(self.method)
        wakeup = WakeUp()
        try:
            with self._lock:
                if known():
                    return
                self._told.append(wakeup)
            wakeup.wait(timeout)
        finally:
            with self._lock:
                if wakeup in self._told:
                    self._told.remove(wakeup)
                wakeup.close()

    def _wake(self) -> None:
        told, self._told = self._told, []
        for wakeup in told:
            wakeup.wake()

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call it in a thread of the hub's own once it has ended; if it has, here and now."""
        self._check_process()
        with self._lock:
            if self.status is None:
                self._callbacks.append(callback)
                return
        call_back(callback, self.method)

    def _check_process(self) -> None:
        """Raise RuntimeError in a child, where another thread may have had the lock for ever."""
        if self._runners.thread is None:
            self._runners.check_thread()


def _earlier(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return second if first is None else first
    return min(first, second)
