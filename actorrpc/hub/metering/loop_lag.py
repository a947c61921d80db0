"""How late a hub's loop is, and the CPU of its process. (How busy it is for policies: ``usage``.)"""

from __future__ import annotations

from collections import deque

from actorrpc.percentile import percentile

__all__ = ["LoopLag"]

#: Seconds that the percentile of the lag looks back.
_WINDOW = 10.0


class LoopLag:
    """Turns readings of clocks, in seconds, into lag and CPU share. Reads no clock itself.

    ``tick`` is called by a timer of the loop every ``period`` seconds. A turn that holds the loop makes
    the tick late, by as much as is left of the turn when the tick was due: so the period bounds what can
    be missed.
    """

    def __init__(self, period: float, now: float, cpu: float) -> None:
        self._period = period
        self._last_tick = now
        self._worst_lag = 0.0
        #: The lag of each tick, including those that were due while one was late.
        self._lags: deque[float] = deque(maxlen=round(_WINDOW / period))
        self._since = now
        self._cpu_since = cpu

    def tick(self, now: float) -> None:
        lag = now - self._last_tick - self._period
        self._last_tick = now
        self._worst_lag = max(self._worst_lag, lag)
        # A loop that is held for a second makes one tick late, and nineteen more that do not come at all:
        # whoever came meanwhile waited too, one tick less each.
        missed = min(int(max(lag, 0.0) / self._period), self._lags.maxlen or 0)
        self._lags.extend(lag - self._period * each for each in range(missed + 1))

    def take(self, now: float, cpu: float) -> tuple[float, float]:
        """Return the share of one core and the worst lag in milliseconds since the last call."""
        elapsed = now - self._since
        share = (cpu - self._cpu_since) / elapsed if elapsed > 0 else 0.0
        lag = self._worst_lag
        self._since, self._cpu_since, self._worst_lag = now, cpu, 0.0
        return share, lag * 1000

    @property
    def lag_p99_ms(self) -> float:
        """The lag that 99 of 100 moments of the last ten seconds did not exceed, in milliseconds."""
        if not self._lags:
            return 0.0
        return max(0.0, percentile(self._lags, 99)) * 1000

    def __repr__(self) -> str:
        return f"<LoopLag worst lag {self._worst_lag * 1000:.1f} ms>"
