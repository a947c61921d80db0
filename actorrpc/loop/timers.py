"""Timers of gevent's loop that count from now.

A timer that is started the plain way counts from the beginning of the loop's step, which may be long past:
after a turn of 0.6 seconds, one of half a second fires at once. So all timers are made here, which
tests/test_layers.py sees to, and look at the clock: that costs nothing that can be measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gevent import get_hub

__all__ = ["Timer", "after", "every"]


def after(seconds: float, function: Callable[..., object], *args: Any) -> Any:
    """Call a function once, in the loop, so many seconds from now, unless it is cancelled by ``close()``."""
    timer = get_hub().loop.timer(seconds)
    timer.start(function, *args, update=True)
    return timer


def every(seconds: float, function: Callable[..., object], *args: Any, ref: bool = True) -> Any:
    """Call a function each time so many seconds have passed, until ``close()``; what it raises ends nothing.

    ``ref``: the loop is not over while this goes on.
    """
    timer = get_hub().loop.timer(seconds, seconds, ref=ref)
    timer.start(function, *args, update=True)
    return timer


class Timer:
    """One timer at a time: setting it again replaces what was set."""

    __slots__ = ("_timer",)

    def __init__(self) -> None:
        self._timer: Any = None

    @property
    def active(self) -> bool:
        """Whether it has been set and not stopped, also after its function has been called."""
        return self._timer is not None

    def set(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
        """Call a function once, in the loop, so many seconds from now."""
        self.stop()
        self._timer = after(seconds, function, *args)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None
