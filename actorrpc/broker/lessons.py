"""What a policy learns from how its hubs' loads went on: whether gaps last, and whether moves close them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

__all__ = ["Lessons"]

#: Excess over the mean, and what had been moved there, of each hub.
Sample = tuple[float, dict[int, float], dict[int, float]]


@dataclass
class Lessons:
    """Two numbers, by least squares over all hubs: ``later = lasts * before + works * moved``.

    ``before`` and ``later`` are a hub's excess over the mean, ten seconds apart, and ``moved`` is what moves
    should have added meanwhile. Where nothing was moved they still tell whether gaps go away by themselves:
    then moving is useless, and this is known without having moved. ``works`` is 1 where a move does what it
    promised, 0 where the load stays behind, 2 where as much again follows it.

    Old samples fade within ``memory`` seconds. The first guesses (ridge) weigh as much as ``patience``
    hubs' excesses, or moves, of a tenth of the mean load.
    """

    lag: float = 10.0
    period: float = 1.0
    memory: float = 90.0
    patience: float = 8.0

    def __post_init__(self) -> None:
        self.lasts, self.works = self._guess = 0.8, 1.0
        self._samples: deque[Sample] = deque()
        self._sums = [0.0] * 5
        self._scale = 0.0

    def learn(self, now: float, levels: Mapping[int, float], moved: Mapping[int, float]) -> None:
        """Take one sample a period, and compare it with the one that is ``lag`` older."""
        if self._samples and now - self._samples[-1][0] < self.period - 1e-6:
            return
        mean = fmean(levels.values())
        sample = now, {hub: level - mean for hub, level in levels.items()}, dict(moved)
        self._samples.append(sample)
        while now - self._samples[0][0] > self.lag + self.period:
            self._samples.popleft()
        if now - self._samples[0][0] >= self.lag - 1e-6:
            self._compare(self._samples[0], sample)
        # Moves show in as many samples as there are in a lag; so must the guesses.
        self._scale = self.patience * (mean / 10) ** 2 * self.lag / self.period
        self._solve()

    def _compare(self, old: Sample, new: Sample) -> None:
        fading = math.exp(-self.period / self.memory)
        bb = bm = mm = bl = ml = 0.0
        later_of, moved_of = new[1], new[2]
        for hub, before in old[1].items():
            if hub in later_of:
                later, moved = later_of[hub], moved_of[hub] - old[2][hub]
                bb += before * before
                bl += before * later
                if moved:
                    bm += before * moved
                    mm += moved * moved
                    ml += moved * later
        self._sums = [old * fading + new for old, new in zip(self._sums, (bb, bm, mm, bl, ml), strict=True)]

    def _solve(self) -> None:
        """The normal equations of two unknowns; the ridge keeps them from being singular."""
        bb, bm, mm, bl, ml = self._sums
        bb, mm = bb + self._scale, mm + self._scale
        bl, ml = bl + self._scale * self._guess[0], ml + self._scale * self._guess[1]
        determinant = bb * mm - bm * bm
        if determinant > 0:
            self.lasts = (bl * mm - ml * bm) / determinant
            self.works = (ml * bb - bl * bm) / determinant

    def forget_moves(self) -> None:
        """Give moves another chance; what is known of gaps stays."""
        bb, _, _, bl, _ = self._sums
        self._sums = [bb, 0.0, 0.0, bl, 0.0]
        self._samples.clear()
