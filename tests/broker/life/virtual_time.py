"""Time that passes only when a test says so, for all timers of gevent's loop in this thread.

What would wait for a second is called at once, in the order of time; so a program takes as long as what it
computes, and takes the same way each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import Any

import gevent
import pytest
from gevent import get_hub

__all__ = ["FIRST_FAKE", "VirtualTime"]

#: Descriptors from here on are not the kernel's: the loop watches nothing there.
FIRST_FAKE = 1_000_000


class VirtualTimer:
    """As the loop's own, as far as it is used."""

    def __init__(self, clock: VirtualTime, after: float, repeat: float = 0.0) -> None:
        self.loop: Any = clock
        self._clock, self._after, self._repeat = clock, after, repeat
        self._function: Callable[..., object] | None = None
        self._args: tuple[Any, ...] = ()
        self._number = 0

    @property
    def active(self) -> bool:
        return self._function is not None

    pending = False

    def start(self, function: Callable[..., object], *args: Any, update: bool = False) -> None:
        self._function, self._args = function, args
        self._set(self._after)

    def _set(self, after: float) -> None:
        self._number = self._clock.add(after, self)

    def stop(self) -> None:
        self._function = None

    close = stop

    def fire(self, number: int) -> None:
        """Its time has come, unless it was stopped, or set again, meanwhile."""
        if (function := self._function) is None or number != self._number:
            return
        args = self._args
        if self._repeat:
            self._set(self._repeat)
        else:
            self._function = None
        self._clock.call(function, *args)

    def __enter__(self) -> VirtualTimer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Watcher:
    """Of a descriptor that is not the kernel's: ``fire`` says that it is readable."""

    def __init__(self) -> None:
        self.function: Callable[[], object] | None = None

    def start(self, function: Callable[[], object]) -> None:
        self.function = function

    def stop(self) -> None:
        self.function = None

    close = stop


class VirtualTime:
    """Stands for the loop of this thread while the context lasts. Its callbacks may raise ``ignored``."""

    def __init__(self, ignored: type[BaseException]) -> None:
        self._ignored = ignored
        self.now = 1000.0
        #: What watches descriptors that are not the kernel's.
        self.watchers: dict[int, Watcher] = {}
        self._timers: list[tuple[float, int, VirtualTimer]] = []
        self._numbers = count(1)
        self._patch = pytest.MonkeyPatch()
        self._hub: Any = get_hub()
        self._loop: Any = self._hub.loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def timer(self, after: float, repeat: float = 0.0, ref: bool = True, priority: int = 0) -> VirtualTimer:
        return VirtualTimer(self, after, repeat)

    def io(self, fd: int, events: int, **options: Any) -> Any:
        if fd < FIRST_FAKE:
            return self._loop.io(fd, events, **options)
        self.watchers[fd] = Watcher()
        return self.watchers[fd]

    def readable(self, fd: int) -> None:
        """Tell whoever watches it so."""
        watcher = self.watchers.get(fd)
        if watcher is not None:
            self.call(lambda: watcher.function and watcher.function())

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Have the loop call a function."""

        def call() -> None:
            with suppress(self._ignored):
                function(*args)

        self._loop.run_callback(call)

    def add(self, after: float, timer: VirtualTimer) -> int:
        number = next(self._numbers)
        heappush(self._timers, (self.now + max(after, 0.0), number, timer))
        return number

    def clear(self) -> None:
        """Whoever waits for a time does so for ever."""
        self._timers.clear()
        self.watchers.clear()

    def idle(self) -> None:
        """Let all go on that can without the time."""
        quiet = 0
        while quiet < 2:
            gevent.sleep(0)
            quiet = 0 if self._loop._callbacks else quiet + 1

    def advance(self, seconds: float) -> None:
        """Let time pass, and have all that waits for it go on."""
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            self.now, number, timer = heappop(self._timers)
            timer.fire(number)
            self.idle()
        self.now = end

    def __enter__(self) -> VirtualTime:
        self._hub.loop = self
        self._patch.setattr(time, "monotonic", lambda: self.now)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()
        self._hub.loop = self._loop
