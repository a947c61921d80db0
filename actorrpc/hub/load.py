"""How busy a hub is: the CPU that its process takes, and how late its loop is."""

from __future__ import annotations

__all__ = ["LoadMeter"]


class LoadMeter:
    """Turns readings of clocks, in seconds, into load. Reads no clock itself.

    ``tick`` is called by a timer of the loop every ``period`` seconds. A turn that holds the loop makes
    the tick late, by as much as is left of the turn when the tick was due: so the period bounds what can
    be missed.
    """

    def __init__(self, period: float, now: float, cpu: float) -> None:
        self._period = period
        self._last_tick = now
        self._worst_lag = 0.0
        self._since = now
        self._cpu_since = cpu

    def tick(self, now: float) -> None:
        self._worst_lag = max(self._worst_lag, now - self._last_tick - self._period)
        self._last_tick = now

    def take(self, now: float, cpu: float) -> tuple[float, float]:
        """Return the share of one core and the worst lag in milliseconds since the last call."""
        elapsed = now - self._since
        share = (cpu - self._cpu_since) / elapsed if elapsed > 0 else 0.0
        lag = self._worst_lag
        self._since, self._cpu_since, self._worst_lag = now, cpu, 0.0
        return share, lag * 1000

    def __repr__(self) -> str:
        return f"<LoadMeter worst lag {self._worst_lag * 1000:.1f} ms>"
