"""``Conversation``: one call of an actor at its caller's end: what has been answered, and who waits for that.

It is the listener of a call (``exchange.outgoing``), and does not move: where its caller is an actor, that is
in a turn while it waits, and so stays where it is.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from gevent.hub import Waiter
from google.protobuf.message import DecodeError
from greenlet import getcurrent

from actorrpc.errors import CallError, StatusCode
from actorrpc.hub.calls.call import UNSENT_HIGH
from actorrpc.hub.directory.names import Name
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.outgoing import Fields, OutgoingCall, Request
from actorrpc.hub.runtime.runners import Runners
from actorrpc.log import about
from actorrpc.loop.timers import after
from actorrpc.metadata import Pairs, decode_pairs

__all__ = ["CANCELLED", "LATE", "Conversation", "call_back", "cannot_wait"]

log = logging.getLogger("actorrpc.hub")

Reply = TypeVar("Reply")

#: How a call ends whose time is over, and one of which its caller wants no more.
LATE = "the deadline has passed"
CANCELLED = "the caller cancelled the call"


class Conversation:
    """``begin`` it, or ``fail`` it. Whoever reads it waits in a greenlet of the hub's thread."""

    __slots__ = (
        "_callbacks",
        "_deadline",
        "_exchange",
        "_outgoing",
        "_runners",
        "_timer",
        "_waiting",
        "cancelled",
        "initial",
        "message",
        "method",
        "replies",
        "size",
        "status",
        "trailing",
    )

    #: It does not travel.
    frozen = False

    def __init__(self, exchange: Exchange, runners: Runners, method: str) -> None:
        self._exchange = exchange
        self._runners = runners
        self.method = method
        self._outgoing: OutgoingCall | None = None
        self._deadline: float | None = None
        self._timer: Any = None
        self._waiting: list[Waiter[None]] = []
        #: What is called when it has ended, in the loop.
        self._callbacks: list[Callable[[], object]] = []
        #: None until it has ended.
        self.status: StatusCode | None = None
        self.message = ""
        self.cancelled = False
        #: Metadata that has come; None: not yet.
        self.initial: Fields | None = None
        self.trailing: Fields = ()
        #: Messages that nobody has taken yet, and their bytes.
        self.replies: deque[bytes] = deque()
        self.size = 0

    def begin(self, name: Name, request: Request) -> None:
        """Make the call, unless it has ended before."""
        if self.status is not None:
            return
        self._deadline = request.deadline
        if request.deadline is not None:
            remaining = request.deadline - monotonic()
            if remaining <= 0:
                self.fail(StatusCode.DEADLINE_EXCEEDED, LATE)
                return
            self._timer = after(remaining, self._expire)
        outgoing = self._exchange.begin(name, request, self)
        if self.status is None:
            self._outgoing = outgoing

    def fail(self, status: StatusCode, message: str) -> None:
        """End it from this side."""
        if self.status is None:
            self.on_end(status, message, (), None)

    def cancel(self) -> bool:
        """The caller wants no more of it. Whether it had not ended before."""
        if self.status is not None:
            return False
        self.cancelled = True
        outgoing = self._outgoing
        self.fail(StatusCode.CANCELLED, CANCELLED)
        if outgoing is not None:
            self._exchange.withdraw(outgoing)
        return True

    def abandon(self) -> None:
        """Nobody has it any more. Called where garbage is collected, perhaps in another thread: so later."""
        self._runners.hub.loop.run_callback_threadsafe(self.cancel)

    def _expire(self) -> None:
        outgoing = self._outgoing
        self.fail(StatusCode.DEADLINE_EXCEEDED, LATE)
        if outgoing is not None:
            self._exchange.expire(outgoing)

    def time_remaining(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - monotonic())

    # ---- what the actor answers

    @property
    def congested(self) -> bool:
        return self.size > UNSENT_HIGH

    def on_begun(self) -> None:
        """It moves with its actor: nobody here needs to know."""

    def on_headers(self, fields: Fields) -> None:
        self.initial = fields
        self._wake()

    def on_message(self, payload: bytes) -> None:
        if self.initial is None:
            self.initial = ()
        self.replies.append(payload)
        self.size += len(payload)
        self._wake()

    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        self._outgoing = None
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        if reply is not None:
            self.replies.append(reply)
        if self.initial is None:
            self.initial = ()
        self.status, self.message, self.trailing = status, message, fields
        self._wake()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            self._call_soon(callback)

    # ---- what the caller reads

    def take(self) -> bytes | None:
        """The next message, if there is one by now."""
        if not self.replies:
            return None
        payload = self.replies.popleft()
        if self.status is None:
            congested = self.congested
            self.size -= len(payload)
            if congested and not self.congested and self._outgoing is not None:
                self._exchange.go_on(self._outgoing)
        return payload

    def reply(self, parse: Callable[[bytes], Reply]) -> Reply:
        """The one reply; waits for it. Raises CallError for another status than OK."""
        while self.status is None:
            self._wait_once(None)
        if self.status is not StatusCode.OK:
            raise self.error()
        payload = self.take()
        assert payload is not None
        return self.read(payload, parse)

    def read(self, payload: bytes, parse: Callable[[bytes], Reply]) -> Reply:
        """A message that has come. Raises CallError for what is none."""
        try:
            return parse(payload)
        except DecodeError:
            raise CallError(StatusCode.INTERNAL, f"the reply of {self.method} does not parse") from None

    def error(self) -> CallError:
        """What a caller gets for the status, which is not OK."""
        assert self.status is not None
        return CallError(self.status, self.message, decode_pairs(self.trailing))

    @property
    def initial_metadata(self) -> Pairs:
        return decode_pairs(self.initial or ())

    @property
    def trailing_metadata(self) -> Pairs:
        return decode_pairs(self.trailing)

    def wait(self, known: Callable[[], bool], timeout: float | None = None) -> bool:
        """Wait until something is known, ``timeout`` seconds at most. Whether it is.

        Raises RuntimeError where nobody can wait, in gevent's own greenlet; and in another thread, always.
        """
        self._runners.check_thread()
        if known():
            return True
        until = None if timeout is None else monotonic() + timeout
        while not known():
            remaining = None if until is None else until - monotonic()
            if remaining is not None and remaining <= 0:
                return False
            self._wait_once(remaining)
        return True

    def _wait_once(self, timeout: float | None) -> None:
        """Wait until something comes."""
        hub = self._runners.hub
        if getcurrent() is hub:
            raise cannot_wait(self.method)
        waiter: Waiter[None] = Waiter(hub)
        timer = None if timeout is None else after(timeout, waiter.switch, None)
        self._waiting.append(waiter)
        try:
            waiter.get()
        finally:
            if self._waiting and waiter in self._waiting:
                self._waiting.remove(waiter)
            if timer is not None:
                timer.close()

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                self._runners.hub.loop.run_callback(waiter.switch, None)

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call it in the loop once it has ended, or soon, if it has."""
        if self.status is None:
            self._callbacks.append(callback)
        else:
            self._call_soon(callback)

    def _call_soon(self, callback: Callable[[], object]) -> None:
        self._runners.hub.loop.run_callback(call_back, callback, self.method)

    def has_ended(self) -> bool:
        return self.status is not None

    def __repr__(self) -> str:
        state = "open" if self.status is None else self.status.name
        return f"<Conversation {self.method} {state}, {len(self.replies)} replies>"


def cannot_wait(method: str) -> RuntimeError:
    return RuntimeError(
        f"cannot wait for {method}: a callback of gevent's loop cannot wait. Tell, use a future "
        "with add_done_callback, or call in a greenlet (gevent.spawn)"
    )


def call_back(callback: Callable[[], object], method: str) -> None:
    try:
        callback()
    except BaseException:
        log.exception("a callback of a call of %s raised", method, extra=about(method))
