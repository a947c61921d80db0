"""What has happened and is still to be handled, one after the other, in one greenlet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from gevent.event import AsyncResult
from gevent.queue import Empty, Queue

__all__ = ["Events"]

log = logging.getLogger("actorrpc.broker")


class Events:
    """A queue of functions. ``is_fatal`` says which of what they raise ends ``until``; the rest is logged."""

    def __init__(self, is_fatal: Callable[[Exception], bool]) -> None:
        self._is_fatal = is_fatal
        self._queue: Queue[Callable[[], object]] = Queue()

    def put(self, event: Callable[[], object]) -> None:
        """Have a function called. At any time, and from the loop's callbacks."""
        self._queue.put(event)

    def call(self, function: Callable[[], Any]) -> Any:
        """Have a function called, and return what it returns, or raise what it raises. For other greenlets
        than that of ``until``."""
        done: AsyncResult[Any] = AsyncResult()

        def call() -> None:
            try:
                done.set(function())
            except Exception as error:
                done.set_exception(error)

        self.put(call)
        return done.get()

    def until(self, reached: Callable[[], bool], seconds: float | None = None) -> bool:
        """Call functions until ``reached()``. Returns False if that takes longer than ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not reached():
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            try:
                event = self._queue.get(timeout=left)
            except Empty:
                return False
            self._handle(event)
        return True

    def _handle(self, event: Callable[[], object]) -> None:
        try:
            event()
        except Exception as error:
            if self._is_fatal(error):
                raise
            log.exception("error in the broker, which goes on")

    def __repr__(self) -> str:
        return f"<Events, {self._queue.qsize()} to be handled>"
