"""What became of the moves so far."""

from __future__ import annotations

import math
from collections import deque

from actorrpc.pb import control_pb2

__all__ = ["MoveStatistics"]

#: The pauses that the percentiles are taken of.
KEPT_PAUSES = 10_000


class MoveStatistics:
    """Counts of moves, whoever asked for them, and how long they made their connections wait."""

    def __init__(self) -> None:
        self.done = 0
        self.aborted = 0
        self._pauses: deque[float] = deque(maxlen=KEPT_PAUSES)

    def record(self, moved: control_pb2.Moved) -> None:
        if moved.aborted:
            self.aborted += 1
        else:
            self.done += 1
            self._pauses.append(moved.pause_ms)

    def summary(self) -> dict[str, float]:
        """The form of ``actorrpc status --json``."""
        ordered = sorted(self._pauses)
        return {
            "done": self.done,
            "aborted": self.aborted,
            "pause_ms_p50": _percentile(ordered, 50),
            "pause_ms_p99": _percentile(ordered, 99),
        }

    def __repr__(self) -> str:
        return f"<MoveStatistics {self.done} done, {self.aborted} aborted>"


def _percentile(ordered: list[float], percent: int) -> float:
    """The nearest rank: the smallest value that ``percent`` per cent of the values do not exceed."""
    if not ordered:
        return 0.0
    return round(ordered[math.ceil(len(ordered) * percent / 100) - 1], 3)
