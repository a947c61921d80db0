"""Whether moves do what they promise: each is a trial, and the hub that took something tells the outcome."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from statistics import fmean

from actorrpc.balancing.policies.do_gaps_last import Lessons, Sample
from actorrpc.balancing.policies.grain import GRAIN

__all__ = ["Trials"]


class Trials:
    """Compares how much a hub has risen, ``after`` so many seconds, with what it took.

    ``yields`` is 1 if clients do not care where they are (a least-squares slope), and four if three times as
    much comes after what moved, of which levels show three after two seconds. A move takes half of a gap at
    most: if twice as much comes, the hubs have changed roles, and moving makes it worse. That is ``MOST``.

    Hubs rise and fall by themselves, too: an excess over the mean fades, as `Lessons` knows; how much chance
    there is in the rest is seen at hubs that gave and took nothing meanwhile. ``yields`` is known to within
    ``error``, ``SURE`` standard errors. Trials fade within ``MEMORY`` seconds.
    """

    PERIOD, MEMORY = 0.5, 90.0
    MOST, SURE = 2.0, 2.0
    #: The root mean square of what a hub rises by chance, in cores, before any was seen: reports are off by
    #: as much; and for how many hubs that counts.
    FIRST_GUESS, PATIENCE = 0.02, 10.0

    def __init__(self, after: float) -> None:
        self.after = after
        self._samples: deque[Sample] = deque()
        self._seen = self.PATIENCE
        self._squares = self._seen * self.FIRST_GUESS**2
        self.forget()

    def forget(self) -> None:
        """Try moves anew. What hubs do by themselves stays known."""
        self._took = self._came = 0.0

    def learn(
        self, now: float, levels: Mapping[int, float], moved: Mapping[int, float], lasts: float
    ) -> None:
        """Take a sample, one each ``PERIOD``. ``lasts`` is that of `Lessons`."""
        mean = fmean(levels.values())
        self._samples.append((now, {hub: level - mean for hub, level in levels.items()}, dict(moved)))
        while now - self._samples[0][0] >= self.after - 1e-6:
            before = self._samples.popleft()
            self._judge(before, self._samples[0], self._samples[-1], lasts)

    def _judge(self, before: Sample, soon: Sample, after: Sample, lasts: float) -> None:
        """What came by the third sample of what hubs took between the first two; later moves left out."""
        self._fade()
        left = max(0.0, min(1.0, lasts)) ** (self.after / Lessons.LAG)
        for hub, excess in before[1].items():
            if hub not in soon[1] or hub not in after[1]:
                continue
            took, later = soon[2][hub] - before[2][hub], after[2][hub] - soon[2][hub]
            rise = after[1][hub] - excess * left - later
            if took > GRAIN:
                self._took += took * took
                self._came += took * rise
            elif abs(took) < GRAIN and abs(later) < GRAIN:
                self._squares += rise * rise
                self._seen += 1

    def _fade(self) -> None:
        fading = math.exp(-self.PERIOD / self.MEMORY)
        self._took, self._came = self._took * fading, self._came * fading
        self._squares, self._seen = self._squares * fading, self._seen * fading

    @property
    def yields(self) -> float:
        """How much came to hubs, over what they took."""
        return self._came / self._took if self._took else 1.0

    @property
    def error(self) -> float:
        return self.SURE * math.sqrt(self._squares / self._seen / self._took) if self._took else math.inf

    @property
    def trusted(self) -> bool:
        """Surely less comes than would do harm: connections may move freely."""
        return self.yields + self.error < self.MOST

    @property
    def harmful(self) -> bool:
        """Surely more comes."""
        return self.yields - self.error > self.MOST

    def __repr__(self) -> str:
        return f"<Trials: {self.yields:.2f}±{self.error:.2f} times as much comes as is moved>"
