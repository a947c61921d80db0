"""The queue of events."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["Events"]


class Events:
    """Calls by time; those that are due at the same time come in the order in which they were put in."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Callable[[float], None]]] = []
        self._number = 0

    def at(self, time: float, happen: Callable[[float], None]) -> None:
        self._number += 1
        heapq.heappush(self._due, (time, self._number, happen))

    def every(self, period: float, happen: Callable[[float], None], first: float = 0.0) -> None:
        """Repeat a call, without accumulating the rounding errors of a sum."""
        times = 0

        def again(now: float) -> None:
            nonlocal times
            times += 1
            self.at(first + times * period, again)
            happen(now)

        self.at(first, again)

    def next(self) -> tuple[float, Callable[[float], None]]:
        time, _, happen = heapq.heappop(self._due)
        return time, happen

    @property
    def next_time(self) -> float:
        return self._due[0][0]
