"""Whether moves do what they promise. Each is a trial, and the hub that took something shows the outcome."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import fmean

from actorrpc.balancing.policies.persistence import Persistence, Sample
from actorrpc.balancing.policies.rounding import TOLERANCE

__all__ = ["Trials"]


class Trials:
    """Compares how much a hub's level has risen, ``AFTER`` so many seconds, with what it took.

    ``yields`` is their ratio (a least-squares slope). It is 1 if clients do not care where they are. If three
    times as much follows what moved it is 4, of which levels show 3 by then. A move takes at most half of a
    gap: if twice as much comes, the two hubs have changed roles. More than that, ``MOST``, makes it worse.

    Levels also rise and fall by themselves. An excess over the mean fades, as `Persistence` has measured. How
    much of the rest is chance shows at hubs that gave and took nothing meanwhile; so ``yields`` is known to
    within ``error``, ``SURE`` standard errors. Trials fade within ``MEMORY`` seconds.
    """

    PERIOD, MEMORY = 0.5, 90.0
    #: Clients answer a move within a second, and levels are smoothed over another.
    AFTER = 2.0
    MOST, SURE = 2.0, 2.0
    #: By how much a level rises by chance, until that has been measured (the root mean square, in cores: as
    #: large as the error of reports). And for how many hubs that counts.
    FIRST_GUESS, PATIENCE = 0.02, 10.0

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._seen = self.PATIENCE
        self._squares = self._seen * self.FIRST_GUESS**2
        self.forget()

    def forget(self) -> None:
        """Forget what came of moves, but not what hubs do by themselves."""
        self._took = self._came = 0.0

    def learn(
        self, now: float, levels: Mapping[int, float], moved: Mapping[int, float], lasts: float
    ) -> None:
        """Take a sample; once each ``PERIOD``. ``lasts`` is that of `Persistence`."""
        mean = fmean(levels.values())
        self._samples.append((now, {hub: level - mean for hub, level in levels.items()}, dict(moved)))
        while now - self._samples[0][0] >= self.AFTER - 1e-6:
            before = self._samples.popleft()
            self._judge(before, self._samples[0], self._samples[-1], lasts)

    def _judge(self, before: Sample, soon: Sample, after: Sample, lasts: float) -> None:
        """Count what hubs took between two samples, and what had come by the third without later moves."""
        self._fade()
        left = max(0.0, min(1.0, lasts)) ** (self.AFTER / Persistence.LAG)
        for hub, excess in before[1].items():
            if hub not in soon[1] or hub not in after[1]:
                continue
            took, later = soon[2][hub] - before[2][hub], after[2][hub] - soon[2][hub]
            rise = after[1][hub] - excess * left - later
            if took > TOLERANCE:
                self._took += took * took
                self._came += took * rise
            elif abs(took) < TOLERANCE and abs(later) < TOLERANCE:
                self._squares += rise * rise
                self._seen += 1

    def _fade(self) -> None:
        fading = math.exp(-self.PERIOD / self.MEMORY)
        self._took, self._came = self._took * fading, self._came * fading
        self._squares, self._seen = self._squares * fading, self._seen * fading

    @property
    def yields(self) -> float:
        """How much has come to hubs, as a multiple of what they took."""
        return self._came / self._took if self._took else 1.0

    @property
    def error(self) -> float:
        return self.SURE * math.sqrt(self._squares / self._seen / self._took) if self._took else math.inf

    @property
    def trusted(self) -> bool:
        """Whether it is certain that less comes than would do harm: connections may move freely."""
        return self.yields + self.error < self.MOST

    @property
    def harmful(self) -> bool:
        """Whether it is certain that more comes."""
        return self.yields - self.error > self.MOST

    def __repr__(self) -> str:
        return f"<Trials: {self.yields:.2f}±{self.error:.2f} times as much comes as is moved>"
