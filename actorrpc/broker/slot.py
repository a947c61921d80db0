"""One hub and its processes, one after the other: what stays in the broker when a process dies."""

from __future__ import annotations

import time
from typing import Any

from actorrpc.broker.hub_process import HubProcess
from actorrpc.pb.control_pb2 import Load

__all__ = ["Hub", "restart_delay"]

#: A process that ends sooner than this after its start has died quickly.
QUICK = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0


def restart_delay(quick_deaths: int) -> float:
    """Return the seconds to wait after so many quick deaths in a row: 0, then 0.1, doubling up to 10."""
    if quick_deaths == 0:
        return 0.0
    return float(min(FIRST_DELAY * 2 ** min(quick_deaths - 1, 30), LONGEST_DELAY))


class Hub:
    """Hub ``id`` and its processes, one after the other."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.generation = 0
        self.process: HubProcess | None = None
        self._quick_deaths = 0

    def next_start(self) -> float:
        """Count the death of the process. Returns in how many seconds to start the next."""
        # One that never served has not lived, however long it took.
        served = self.process is not None and self.process.ready
        lived = time.monotonic() - self.process.started if self.process and served else 0.0
        self._quick_deaths = self._quick_deaths + 1 if lived < QUICK else 0
        self.process = None
        return restart_delay(self._quick_deaths)

    @property
    def state(self) -> str:
        return self.process.state if self.process else "restarting"

    def row(self) -> dict[str, Any]:
        """The form of ``actorrpc status --json``. Without a process the pid is null."""
        load = self.process.load if self.process else Load()
        return {
            "id": self.id,
            "pid": self.process.pid if self.process else None,
            "generation": self.generation,
            "state": self.state,
            "connections": load.connections,
            "cpu": round(load.cpu, 4),
            "lag_ms": round(load.lag_ms, 3),
            "busy": round(load.busy, 4),
            "lag_p99_ms": round(load.lag_p99_ms, 3),
            "runnable": load.runnable,
            "memory": load.memory,
            "over_memory": load.over_memory,
            "unsent_bytes": load.unsent_bytes,
            # What it has seen of connections that several clients seem to share.
            "shared": {
                key: getattr(load.shared, key) for key in ("connections", "calls", "refused", "first")
            },
        }

    def __repr__(self) -> str:
        return f"<Hub {self.id} generation {self.generation}: {self.process!r}>"
