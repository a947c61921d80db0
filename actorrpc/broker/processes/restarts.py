"""How many hubs may be started again in some time: what OTP calls the intensity of a supervisor."""

from __future__ import annotations

from collections import deque

from actorrpc.errors import TooManyRestarts

__all__ = ["Restarts"]


class Restarts:
    """Counts restarts, of all hubs together, since it is the supervisor that gives up and not one of them."""

    def __init__(self, intensity: int, period: float) -> None:
        """``intensity``: so many within ``period`` seconds are right; 0: any number."""
        self._intensity = intensity
        self._period = period
        self._times: deque[float] = deque()

    def count(self, now: float, why: str) -> None:
        """One more, at ``now`` on the monotonic clock, since the last has ended: ``why``. Raises
        TooManyRestarts if that is one too many."""
        if not self._intensity:
            return
        self._times.append(now)
        while self._times[0] < now - self._period:
            self._times.popleft()
        if len(self._times) > self._intensity:
            raise TooManyRestarts(
                f"hubs ended {len(self._times)} times within {self._period:g} s, and at most "
                f"{self._intensity} restarts are allowed (--restart-intensity, --restart-period); "
                f"the last: {why}"
            )

    def __repr__(self) -> str:
        return f"<Restarts {len(self._times)} of {self._intensity} in {self._period:g} s>"
