"""What a hub does when it is told to end by a signal to it alone.

It asks the broker to have others take what it has; the broker then stops it. A second signal stops it as it
is, and so does its own clock if the broker does not. Without a broker it gives its connections to all hubs
that it has links to, and stops when none is left, or the time is up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorrpc.loop.timers import after, every

__all__ = ["PATIENCE", "Retirement"]

#: How much longer than the drain timeout the broker may take until it stops the hub.
PATIENCE = 2.0
#: Between two looks at whether anything is left.
LOOK = 0.05


class Retirement:
    """Of one hub. ``ask()`` asks the broker, and returns whether there is one to be asked. ``drain()`` has
    the other hubs take what is here, and returns whether there are any. ``empty()`` says whether all has
    gone. ``stop()`` ends the hub; all but the first time, it does nothing."""

    def __init__(
        self,
        ask: Callable[[], bool],
        drain: Callable[[], bool],
        empty: Callable[[], bool],
        stop: Callable[[], None],
        drain_timeout: float,
    ) -> None:
        self._ask = ask
        self._drain = drain
        self._empty = empty
        self._stop = stop
        self._drain_timeout = drain_timeout
        self._begun = False
        self._timers: list[Any] = []

    @property
    def begun(self) -> bool:
        """Whether it has come."""
        return self._begun

    def told(self) -> None:
        """The signal has come."""
        if self._begun:
            self._stop()
            return
        self._begun = True
        if self._ask():
            self._timers.append(after(self._drain_timeout + PATIENCE, self._stop))
        else:
            self._alone()

    def broker_gone(self) -> None:
        """There is no broker any more to wait for."""
        if self._begun:
            self._alone()

    def _alone(self) -> None:
        self.close()
        if not self._drain():
            self._stop()
            return
        self._timers = [after(self._drain_timeout, self._stop), every(LOOK, self._look)]

    def _look(self) -> None:
        if self._empty():
            self._stop()

    def close(self) -> None:
        """The hub stops."""
        for timer in self._timers:
            timer.close()
        self._timers = []

    def __repr__(self) -> str:
        return f"<Retirement{' under way' * self._begun}>"
