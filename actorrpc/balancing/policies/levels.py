"""How busy hubs are: their reports, smoothed, with a step where a move has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from actorrpc.balancing.view import History, HubLoad, Past

__all__ = ["Levels"]


class Levels:
    """The smoothed busy share of each hub, in cores. Times are seconds of the view's clock.

    A smoothed average shows a move only after a while, and a policy that decided by it would move the same
    load twice. So with the first report of a hub after the end of a move, the move becomes part of the hub's
    average, which goes on from there. Until then the hub must be left alone.
    """

    def __init__(self, smoothing: float) -> None:
        self._smoothing = smoothing
        self._level: dict[int, float] = {}
        self._reported: dict[int, float] = {}
        #: What has been moved to each hub, less what has been moved away, since the beginning.
        self.moved: dict[int, float] = {}
        self._settling: list[tuple[Past, int, float]] = []
        self._seen = 0

    def observe(self, now: float, hubs: Sequence[HubLoad], history: History) -> None:
        """Take in what the hubs have reported, and which moves have ended."""
        self._forget(hubs)
        for past in history.since(self._seen):
            if not past.aborted:
                changes = [each for each in _changes(past) if self._awaits(past, each[0])]
                self._settling += [(past, hub, change) for hub, change in changes]
        self._seen = history.count
        reported = {load.hub: now - load.stale for load in hubs}
        self._settling = [each for each in self._settling if not self._settled(*each, reported)]
        for load in hubs:
            self._smooth(load.hub, reported[load.hub], load.busy)

    def _forget(self, hubs: Sequence[HubLoad]) -> None:
        present = {load.hub for load in hubs}
        for hub in self._level.keys() - present:
            del self._level[hub], self._reported[hub], self.moved[hub]
        self._settling = [each for each in self._settling if each[1] in present]

    def _smooth(self, hub: int, reported: float, busy: float) -> None:
        if hub not in self._level:
            self._level[hub], self._reported[hub], self.moved[hub] = busy, reported, 0.0
        elif (passed := reported - self._reported[hub]) > 0:
            self._level[hub] += (busy - self._level[hub]) * -math.expm1(-passed / self._smoothing)
            self._reported[hub] = reported

    def _awaits(self, past: Past, hub: int) -> bool:
        """Whether a hub does not show the move yet: it is not new here, and has not reported since."""
        return hub in self._level and past.ended is not None and self._reported[hub] <= past.ended

    def _settled(self, past: Past, hub: int, change: float, reported: Mapping[int, float]) -> bool:
        """Make a move part of a hub's level, if the hub has reported since. Whether that is done with."""
        if hub not in self._level:
            return True
        if past.ended is None or reported[hub] <= past.ended:
            return False
        self._level[hub] = max(0.0, self._level[hub] + change)
        self.moved[hub] += change
        return True

    def current(self) -> dict[int, float]:
        """Each hub's level. It shows a move once the hub has reported after the end of the move."""
        return dict(self._level)

    def __repr__(self) -> str:
        return f"<Levels of {len(self._level)} hubs, {len(self._settling)} changes not reported yet>"


def _changes(past: Past) -> list[tuple[int, float]]:
    return [(past.move.source, -past.move.load), (past.move.target, past.move.load)]
