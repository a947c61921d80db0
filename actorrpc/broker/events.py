"""What happens, one thing after the other: all changes of the broker are made in one greenlet."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from gevent.event import AsyncResult
from gevent.queue import Empty, Queue

from actorrpc.errors import ConfigError, TooManyRestarts

__all__ = ["Events"]

log = logging.getLogger("actorrpc.broker")


class Events:
    """Functions that are called one by one, in the greenlet that calls ``until``."""

    def __init__(self) -> None:
        #: Whether an event that raises ends nothing: it is logged, and the next one follows.
        self.outlive_errors = False
        self._events: Queue[Callable[[], object]] = Queue()
        #: Changes that have not been made yet.
        self._changes: set[AsyncResult[Any]] = set()
        self._refusal = ""

    def put(self, event: Callable[[], object]) -> None:
        """Add an event. At any time, and from the loop's callbacks."""
        self._events.put(event)

    def refuse(self, why: str) -> None:
        """Refuse all further changes, and those that are waiting."""
        self._refusal = why
        for change in self._changes:
            change.set_exception(ConfigError(why))
        self._changes.clear()

    def change(self, function: Callable[[], Any]) -> Any:
        """Call a function as an event, and return what it returns, or raise what it raises. For other
        greenlets than that of ``until``.

        Raises ConfigError if changes are refused.
        """
        if self._refusal:
            raise ConfigError(self._refusal)
        done: AsyncResult[Any] = AsyncResult()

        def call() -> None:
            if done not in self._changes:  # it has been refused
                return
            self._changes.discard(done)
            try:
                done.set(function())
            except Exception as error:
                done.set_exception(error)

        self._changes.add(done)
        self.put(call)
        return done.get()

    def until(self, reached: Callable[[], bool], seconds: float | None = None) -> bool:
        """Handle events until ``reached()``. Returns False if that takes longer than ``seconds``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not reached():
            left = None if deadline is None else max(deadline - time.monotonic(), 0)
            try:
                event = self._events.get(timeout=left)
            except Empty:
                return False
            self._handle(event)
        return True

    def _handle(self, event: Callable[[], object]) -> None:
        try:
            event()
        except TooManyRestarts:
            raise
        except Exception:
            if not self.outlive_errors:
                raise
            log.exception("error in the broker, which goes on")

    def __repr__(self) -> str:
        return f"<Events, {self._events.qsize()} waiting>"
