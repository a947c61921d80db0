"""What a run is judged by: imbalance, delay and moves, over all of it and over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actorrpc.balancing.simulation.queueing import SERVICE

__all__ = ["RETURN", "Figures", "Measures"]

#: A move brings a connection back if it had left that hub at most so many seconds before.
RETURN = 120.0
#: Delays are counted in classes of half a per cent, from 10 µs up.
_LEAST, _CLASS, _CLASSES = 1e-5, math.log(1.005), 5000
_MIDDLES = _LEAST * np.exp((np.arange(_CLASSES) + 0.5) * _CLASS)
#: Seconds of a point of the curves.
POINT = 5.0

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figures:
    """Of one run. Imbalance is the busiest hub's demand over the mean; delays are in milliseconds."""

    imbalance: float
    imbalance_p99: float
    delay_ms: float
    delay_p99_ms: float
    moves: int
    moves_per_minute: float
    ping_pong: float
    aborted: int

    def document(self) -> dict[str, Any]:
        """For JSON, rounded to digits that mean something."""
        return {key: round(value, 5) for key, value in asdict(self).items()}


class Measures:
    """Adds up a run, interval by interval.

    Delays are weighted by the work that is delayed: the p99 is the mean wait that 99 % of all work does not
    exceed.
    """

    def __init__(self) -> None:
        self._delays = np.zeros(_CLASSES)
        self._delay_sum = 0.0
        self._imbalance: list[float] = []
        self._seconds: list[float] = []
        self._left: dict[str, dict[int, float]] = {}
        self.moves = self.returns = self.aborted = 0
        #: What has come and what was done, in core-seconds.
        self.arrived = self.done = 0.0
        #: Of each point: its time, imbalance, p99 of delay in ms, and moves a minute.
        self.curves: list[tuple[float, float, float, float]] = []
        self._point: list[tuple[float, Floats, Floats]] = []
        self._point_moves = 0

    def interval(
        self, now: float, seconds: float, demand: Floats, serving: NDArray[np.bool_], jobs: Floats
    ) -> None:
        """Time has passed, to ``now``. Hubs that do not serve do not count."""
        demand = demand[serving]
        delays, work = jobs[serving] * SERVICE, demand * seconds
        imbalance = float(demand.max() / demand.mean()) if demand.any() else 1.0
        self._imbalance.append(imbalance)
        self._seconds.append(seconds)
        self._add(delays, work)
        self._point.append((imbalance * seconds, delays, work))
        if now >= (len(self.curves) + 1) * POINT - 1e-9:
            self._end_point(now)

    def _add(self, delays: Floats, work: Floats) -> None:
        classes = np.log(np.maximum(delays, _LEAST) / _LEAST) / _CLASS
        at = np.minimum(classes.astype(np.int64), _CLASSES - 1)
        self._delays += np.bincount(at, weights=work, minlength=_CLASSES)
        self._delay_sum += float(delays @ work)

    def _end_point(self, now: float) -> None:
        seconds = now - (self.curves[-1][0] if self.curves else 0.0)
        delays = np.concatenate([each[1] for each in self._point])
        work = np.concatenate([each[2] for each in self._point])
        p99 = weighted_percentile(delays, work, 99) * 1000
        imbalance = math.fsum(each[0] for each in self._point) / seconds
        self.curves.append((now, imbalance, p99, self._point_moves * 60 / seconds))
        self._point, self._point_moves = [], 0

    def pause(self, seconds: float, load: float) -> None:
        """A connection that takes ``load`` stood still: what came meanwhile waited half as long."""
        self._add(np.array([seconds / 2]), np.array([load * seconds]))

    def moved(self, connection: str, source: int, target: int, now: float) -> None:
        """A move has ended. A client that has connected again counts as another connection."""
        self.moves += 1
        self._point_moves += 1
        left = self._left.setdefault(connection, {})
        if now - left.get(target, -math.inf) <= RETURN:
            self.returns += 1
        left[source] = now

    def figures(self, seconds: float) -> Figures:
        total = float(self._delays.sum())
        imbalance, weights = np.array(self._imbalance), np.array(self._seconds)
        return Figures(
            imbalance=float(imbalance @ weights / weights.sum()),
            imbalance_p99=weighted_percentile(imbalance, weights, 99),
            delay_ms=self._delay_sum / total * 1000 if total else 0.0,
            delay_p99_ms=weighted_percentile(_MIDDLES, self._delays, 99) * 1000 if total else 0.0,
            moves=self.moves,
            moves_per_minute=self.moves * 60 / seconds,
            ping_pong=self.returns / self.moves if self.moves else 0.0,
            aborted=self.aborted,
        )


def weighted_percentile(values: Floats | Sequence[float], weights: Floats, percent: float) -> float:
    """The smallest of the values that ``percent`` per cent of the weight does not exceed."""
    values = np.asarray(values)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, reached[-1] * percent / 100)
    return float(values[order[min(int(at), len(order) - 1)]])
