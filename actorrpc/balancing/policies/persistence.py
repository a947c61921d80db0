"""Whether gaps between hubs last, or close by themselves before a move could close them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import fmean

from actorrpc.balancing.policies.rounding import TOLERANCE

__all__ = ["Persistence", "Sample"]

#: At this busy share a hub no longer shows how much more it is asked for.
FULL = 0.97

#: A moment; and of each hub its excess over the mean then, and what had been moved there by then.
Sample = tuple[float, dict[int, float], dict[int, float]]


class Persistence:
    """Compares how busy hubs are with how busy they were three seconds before.

    ``lasts`` is the share of an excess over the mean that is still there after that time (a least-squares
    slope). Hubs that gave or took something meanwhile do not count, so it is known before anything has moved.
    Nor do full hubs: they show neither how far above the mean they are nor whether that changes. Old samples
    fade within ``MEMORY`` seconds; the first guess weighs as much as samples of ``PATIENCE`` hubs that are a
    tenth above or below the mean.
    """

    LAG, PERIOD, MEMORY = 3.0, 0.5, 90.0
    FIRST_GUESS, PATIENCE = 0.8, 8.0

    def __init__(self) -> None:
        self.lasts = self.FIRST_GUESS
        self._samples: deque[Sample] = deque()
        self._before = self._after = 0.0

    def learn(self, now: float, levels: Mapping[int, float], moved: Mapping[int, float]) -> bool:
        """Take a sample and return True; or, if the last one is too recent, do nothing and return False."""
        if self._samples and now - self._samples[-1][0] < self.PERIOD - 1e-6:
            return False
        mean = fmean(levels.values())
        excess = {hub: level - mean for hub, level in levels.items() if level < FULL - TOLERANCE}
        self._samples.append((now, excess, dict(moved)))
        while now - self._samples[0][0] > self.LAG + 1e-6:
            self._compare(self._samples.popleft(), self._samples[-1])
        # A gap that lasts shows in as many samples as there are in the lag; so must the guess.
        guess = max(1e-9, self.PATIENCE * (mean / 10) ** 2 * self.LAG / self.PERIOD)
        self.lasts = (self.FIRST_GUESS * guess + self._after) / (guess + self._before)
        return True

    def _compare(self, old: Sample, new: Sample) -> None:
        fading = math.exp(-self.PERIOD / self.MEMORY)
        before = after = 0.0
        for hub, excess in old[1].items():
            if hub in new[1] and abs(old[2][hub] - new[2][hub]) < TOLERANCE:
                before += excess * excess
                after += excess * new[1][hub]
        self._before = self._before * fading + before
        self._after = self._after * fading + after
