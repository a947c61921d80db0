"""``RecentCalls``: the numbers of calls that were here a short while ago."""

from __future__ import annotations

from time import monotonic

from actorrpc.loop.timers import Timer

__all__ = ["RecentCalls"]


class RecentCalls:
    """Each is forgotten after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        #: Since when; who has been here longest comes first.
        self._since: dict[int, float] = {}
        self._timer = Timer()

    def add(self, id: int) -> None:
        self._since.pop(id, None)
        self._since[id] = monotonic()
        if not self._timer.active:
            self._timer.set(self._seconds, self._sweep)

    def discard(self, id: int) -> None:
        self._since.pop(id, None)

    def __contains__(self, id: int) -> bool:
        return id in self._since

    def __len__(self) -> int:
        return len(self._since)

    def _sweep(self) -> None:
        self._timer.stop()
        now = monotonic()
        for id, since in [*self._since.items()]:
            if since + self._seconds > now:
                self._timer.set(since + self._seconds - now, self._sweep)
                break
            del self._since[id]

    def clear(self) -> None:
        self._timer.stop()
        self._since.clear()

    def __repr__(self) -> str:
        return f"<RecentCalls {len(self)}>"
