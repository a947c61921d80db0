"""Time as the model wants it: a clock that only the model advances, and timers that go by it.

Nothing sleeps: a deadline passes when a program says so. Each reading takes a tick, so that slices of turns
end, after as many turns as the program's tick says. Timers of 0 are the loop's own: they are no time, they
let others have the hub. So is the time in which actors gather to catch up. And topics keep what they have for
ever: they would for a minute, which passes while a program of many messages is read to its end.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent

__all__ = ["Clock"]

#: Whose clock it becomes.
_PACKAGES = ("actorrpc.hub.", "actorrpc.net.", "actorrpc.call", "actorrpc.loop.timers")


class Timer:
    """As a gevent timer, by the model's clock."""

    def __init__(self, clock: Clock, after: float, repeat: float = 0.0) -> None:
        self._clock = clock
        self._after = after
        self._repeat = repeat
        self.due = 0.0
        self._callback: Callable[..., None] | None = None
        self._args: tuple[Any, ...] = ()

    @property
    def active(self) -> bool:
        return self._callback is not None

    def start(self, callback: Callable[..., None], *args: Any, update: Any = None) -> None:
        self._callback, self._args = callback, args
        self.due = self._clock.now + self._after
        self._clock.timers.append(self)

    again = start

    def fire(self) -> None:
        callback, args = self._callback, self._args
        if callback is None:
            return
        self.stop()
        if self._repeat:
            self._after = self._repeat
            self.start(callback, *args)
        callback(*args)

    def stop(self) -> None:
        self._callback = None
        if self in self._clock.timers:
            self._clock.timers.remove(self)

    close = stop


class _Loop:
    """The loop, but for its timers."""

    def __init__(self, clock: Clock, loop: Any) -> None:
        self._clock = clock
        self._loop = loop
        self.io = loop.io
        self.run_callback = loop.run_callback

    def timer(self, after: float, repeat: float = 0.0, **_: Any) -> Any:
        return Timer(self._clock, after, repeat) if after > 0 else self._loop.timer(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class _Hub:
    """gevent's hub, but for its loop."""

    def __init__(self, clock: Clock, hub: Any) -> None:
        self._hub = hub
        self.loop = _Loop(clock, hub.loop)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)


class Clock:
    """In place of ``time.monotonic``."""

    def __init__(self, tick: float = 1e-6) -> None:
        self.now = 1000.0
        self.tick = tick
        self.timers: list[Timer] = []
        self._hub = _Hub(self, gevent.get_hub())

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def get_hub(self) -> Any:
        return self._hub

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def fire_due(self) -> bool:
        """Let the loop run the timers that are due. Whether there were any."""
        due = sorted((timer for timer in self.timers if timer.due <= self.now), key=lambda timer: timer.due)
        for timer in due:
            self._hub.loop.run_callback(timer.fire)
        return bool(due)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The product's clock, and its way to the loop, within the block."""
        places = _places()
        try:
            for where, name, old in places:
                setattr(where, name, self if old is time.monotonic else self.get_hub)
            with _defaults(self):
                yield
        finally:
            for where, name, old in places:
                setattr(where, name, old)


_found: list[tuple[Any, str, Any]] = []


def _places() -> list[tuple[Any, str, Any]]:
    """Each name under which a module of the product knows the clock or the hub."""
    if not _found:
        for module in [each for name, each in sys.modules.items() if name.startswith(_PACKAGES)]:
            for name, value in vars(module).items():
                if value is time.monotonic or value is gevent.get_hub:
                    _found.append((module, name, value))
    return _found


@contextmanager
def _defaults(clock: Clock) -> Iterator[None]:
    """The meter has the clock as a default of its own; actors that catch up gather for no time, and what
    they have missed is kept."""
    from actorrpc.hub.metering.usage import Meter
    from actorrpc.hub.topics import feeds
    from actorrpc.hub.topics import numbered_log as topic_log

    init: Any = Meter.__init__
    old, gather, linger = init.__defaults__, feeds._GATHER, topic_log.LINGER
    init.__defaults__ = tuple(clock if each is time.monotonic else each for each in old or ())
    feeds._GATHER, topic_log.LINGER = 0.0, float("inf")
    try:
        yield
    finally:
        init.__defaults__, feeds._GATHER, topic_log.LINGER = old, gather, linger
