"""What a policy learns from how its hubs' loads went on: whether gaps last, and whether moving helps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import fmean

from actorrpc.balancing.policies.grain import GRAIN

__all__ = ["Comparison", "Lessons", "Sample"]

#: From here on a hub's busy share does not say how much more it is asked for.
FULL = 0.97

#: A moment, and then of each hub its excess over the mean, and what had been moved there by then.
Sample = tuple[float, dict[int, float], dict[int, float]]


class Lessons:
    """Compares what hubs are now with what they were three seconds ago.

    ``lasts`` is what is left of an excess over the mean by then (a least-squares slope), of hubs that
    nothing was moved from or to meanwhile: so it is known without having moved anything. A hub that is full
    shows neither how far above the mean it is nor that it changes, and teaches nothing. Old samples fade
    within ``MEMORY`` seconds; the first guess weighs as much as samples of ``PATIENCE`` hubs that are off the
    mean by a tenth.
    """

    LAG, PERIOD, MEMORY = 3.0, 0.5, 90.0
    FIRST_GUESS, PATIENCE = 0.8, 8.0

    def __init__(self) -> None:
        self.lasts = self.FIRST_GUESS
        self._samples: deque[Sample] = deque()
        self._before = self._after = 0.0

    def learn(self, now: float, levels: Mapping[int, float], moved: Mapping[int, float]) -> bool:
        """Take a sample, unless the last is too young: then nothing changes, and False is returned."""
        if self._samples and now - self._samples[-1][0] < self.PERIOD - 1e-6:
            return False
        mean = fmean(levels.values())
        excess = {hub: level - mean for hub, level in levels.items() if level < FULL - GRAIN}
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
            if hub in new[1] and abs(old[2][hub] - new[2][hub]) < GRAIN:
                before += excess * excess
                after += excess * new[1][hub]
        self._before = self._before * fading + before
        self._after = self._after * fading + after


class Comparison:
    """How far apart hubs are while connections move, and while none do: so it shows if moving helps.

    The spread is the largest excess over the mean, in means, by the reports as they are: the smoothed levels
    have in them what moves should have done.

    This holds whatever clients do, also if they answer moves. What it is without moves is known from before
    the first move, and from each rest.
    """

    #: Samples over which spreads are averaged; how many a verdict needs while connections move. It may take
    #: its half minute: what does harm is found out by `trials.py`.
    AVERAGED, NEEDED = 60, 60

    def __init__(self) -> None:
        self.moving: float | None = None
        self.still: float | None = None
        self._samples = 0
        self._still_samples = 0

    def while_moving(self, spread: float) -> None:
        """A sample that is no older than the effect of a move."""
        self._samples += 1
        self._still_samples = 0
        self.moving = self._average(self.moving, spread, self._samples)

    def while_still(self, spread: float) -> None:
        """A sample for which nothing has moved for long enough, though something would have."""
        self._still_samples += 1
        self.still = self._average(self.still, spread, self._still_samples)

    def _average(self, average: float | None, spread: float, samples: int) -> float:
        if average is None or samples == 1:
            return spread
        return average + (spread - average) / min(samples, self.AVERAGED)

    @property
    def in_vain(self) -> bool:
        """Whether moving brings hubs together by less than a twentieth of their spread."""
        if self.moving is None or self.still is None or self._samples < self.NEEDED:
            return False
        return self.moving > 0.95 * self.still

    def begin_again(self) -> None:
        """Judge moves anew, by what comes."""
        self._samples = 0
