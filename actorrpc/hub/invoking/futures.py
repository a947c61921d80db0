"""What the caller of an actor has of a call that goes on: as grpcio's ``Call`` and ``Future``, so that code
does not care whether an actor is called or a server. Nothing of it needs grpcio: statuses are
``actorrpc.StatusCode``, and what is raised is ``actorrpc.CallError``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Generic, TypeVar

from actorrpc.errors import CallError, StatusCode
from actorrpc.hub.invoking.conversation import Conversation
from actorrpc.metadata import Pairs

__all__ = ["ReplyFuture", "ReplyStream"]

Reply = TypeVar("Reply")


class ReplyFuture(Generic[Reply]):
    """A call that goes on, and the reply that it will have.

    A greenlet's is for greenlets of the hub, a thread's for all threads.

    Nobody moves it: where its actor moves, it is left behind in the hub in which the call was made, for
    greenlets of the app's own. Once nobody has it, the call is cancelled.
    """

    def __init__(self, conversation: Conversation, parse: Callable[[bytes], Reply]) -> None:
        self._conversation = conversation
        self._parse = parse
        self._reply: Reply
        self._taken = False

    # ---- as grpc.Call

    def code(self) -> StatusCode:
        """The status with which the call has ended; waits for that."""
        self._conversation.wait(self.done)
        status = self._conversation.status
        assert status is not None
        return status

    def details(self) -> str:
        """The message of the status; waits for it."""
        self._conversation.wait(self.done)
        return self._conversation.message

    def initial_metadata(self) -> Pairs:
        """What came before the reply; waits for it."""
        conversation = self._conversation
        conversation.wait(lambda: conversation.initial is not None)
        return conversation.initial_metadata

    def trailing_metadata(self) -> Pairs:
        """What came with the status; waits for it."""
        self._conversation.wait(self.done)
        return self._conversation.trailing_metadata

    def is_active(self) -> bool:
        return not self.done()

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None: there is none."""
        return self._conversation.time_remaining()

    def cancel(self) -> bool:
        """Have the call end, with CANCELLED. Whether it had not ended before."""
        return self._conversation.cancel()

    def add_callback(self, callback: Callable[[], object]) -> bool:
        """Have it called when the call ends. Whether it will be: the call has not ended yet."""
        if self.done():
            return False
        self._conversation.when_ended(callback)
        return True

    # ---- as grpc.Future

    def done(self) -> bool:
        return self._conversation.status is not None

    def running(self) -> bool:
        return not self.done()

    def cancelled(self) -> bool:
        """Whether ``cancel`` has ended it."""
        return self._conversation.cancelled

    def result(self, timeout: float | None = None) -> Reply:
        """The reply; waits for it. Raises CallError for another status than OK, and TimeoutError after
        ``timeout`` seconds, when the call still goes on."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self._take()

    def exception(self, timeout: float | None = None) -> CallError | None:
        """What ``result`` would raise; None: it has a reply. Waits, and raises TimeoutError, as that does."""
        if not self._conversation.wait(self.done, timeout):
            raise TimeoutError(f"{self._conversation.method} has not ended within {timeout} seconds")
        return None if self._conversation.status is StatusCode.OK else self._conversation.error()

    def traceback(self, timeout: float | None = None) -> TracebackType | None:
        """None: what it raises has been raised nowhere yet."""
        self.exception(timeout)
        return None

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Have ``callback(future)`` called when the call has ended.

        Where a greenlet has made it, that is in gevent's loop, where nothing may block, and outside of the
        actor's turns. Where a thread has, it is in a thread of the hub's for that, and here and now if the
        call has ended before.
        """
        self._conversation.when_ended(partial(callback, self))

    def _take(self) -> Reply:
        if not self._taken:
            payload = self._conversation.take()
            assert payload is not None
            self._reply = self._read(payload)
            self._taken = True
        return self._reply

    def _read(self, payload: bytes) -> Reply:
        return self._conversation.read(payload, self._parse)

    def __del__(self) -> None:
        conversation = self.__dict__.get("_conversation")
        if conversation is not None and conversation.status is None:
            conversation.abandon()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._conversation!r}>"


class ReplyStream(ReplyFuture[Reply], Iterator[Reply]):
    """The replies of a call, as they come. While nobody takes them, the actor's iterable waits."""

    def __next__(self) -> Reply:
        """The next one; waits for it. Raises CallError where the call has ended with a status but OK."""
        conversation = self._conversation
        while (payload := conversation.take()) is None and conversation.status is None:
            conversation.wait(lambda: bool(conversation.replies) or conversation.status is not None)
        if payload is None:  # the last may have come with the end
            payload = conversation.take()
        if payload is not None:
            return self._read(payload)
        if conversation.status is StatusCode.OK:
            raise StopIteration
        raise conversation.error()

    def result(self, timeout: float | None = None) -> ReplyStream[Reply]:  # type: ignore[override]  # as grpcio's
        """Itself, when the call has ended with OK; its replies are there then. Raises as a future's."""
        error = self.exception(timeout)
        if error is not None:
            raise error
        return self
