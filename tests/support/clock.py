"""Time that passes when the model says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from types import ModuleType
from typing import Any

import pytest

from actorrpc.loop import timers

__all__ = ["Clock"]


class Timer:
    """What is to be called, and when."""

    def __init__(self, due: float, call: Callable[[], object], seconds: float) -> None:
        self.due = due
        self.call = call
        self.seconds = seconds
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Clock:
    """In place of gevent's timers and of the monotonic clock, in the modules that a model is of."""

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        clocks: Iterable[ModuleType],
        having_timers: Iterable[ModuleType] = (),
    ) -> None:
        self.now = 1000.0
        self._timers: dict[int, Timer] = {}
        self._numbers = count()
        for module in (timers, *having_timers):
            patch.setattr(module, "after", self._after)
        for module in clocks:
            patch.setattr(module, "monotonic", lambda: self.now)

    def _after(self, seconds: float, function: Callable[..., object], *args: Any) -> Timer:
        timer = Timer(self.now + seconds, partial(function, *args), seconds)
        self._timers[next(self._numbers)] = timer
        return timer

    def next(self) -> Timer | None:
        """The timer that fires next."""
        self._timers = {number: timer for number, timer in self._timers.items() if not timer.closed}
        return min(self._timers.values(), key=lambda timer: timer.due, default=None)

    def fire(self) -> None:
        """Let the time pass until the next timer, and call what it is for."""
        timer = self.next()
        assert timer is not None
        timer.closed = True
        self.now = max(self.now, timer.due)
        timer.call()
