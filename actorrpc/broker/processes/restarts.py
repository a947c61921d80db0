"""How many hubs may be started again in some time: what OTP calls the intensity of a supervisor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from actorrpc.config import Config
from actorrpc.errors import TooManyRestarts

__all__ = ["Restarts"]


class Restarts:
    """Counts restarts, of all hubs together, since it is the supervisor that gives up and not one of them."""

    def __init__(self, config: Callable[[], Config]) -> None:
        """``config()`` says how many within which time are right; a reload may change it."""
        self._config = config
        self._times: deque[float] = deque()

    def count(self, now: float, why: str) -> None:
        """One more, at ``now`` on the monotonic clock, since the last has ended: ``why``. Raises
        TooManyRestarts if that is one too many."""
        config = self._config()
        intensity, period = config.restart_intensity, config.restart_period
        if not intensity:
            self._times.clear()
            return
        self._times.append(now)
        while self._times[0] < now - period:
            self._times.popleft()
        if len(self._times) > intensity:
            raise TooManyRestarts(
                f"hubs ended {len(self._times)} times within {period:g} s, and at most {intensity} restarts "
                f"are allowed (--restart-intensity, --restart-period); the last: {why}"
            )

    def __repr__(self) -> str:
        config = self._config()
        return f"<Restarts {len(self._times)} of {config.restart_intensity} in {config.restart_period:g} s>"
