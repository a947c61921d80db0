"""What the broker keeps of a hub when its process dies: one hub, and its processes one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from actorrpc.broker.processes.hub_process import QUICK, HubProcess, left
from actorrpc.pb.control_pb2 import Load

__all__ = ["HubSlot", "restart_delay"]

FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0


def restart_delay(quick_deaths: int) -> float:
    """Return the seconds to wait after so many quick deaths in a row: 0, then 0.1, doubling up to 10."""
    if quick_deaths == 0:
        return 0.0
    return float(min(FIRST_DELAY * 2 ** min(quick_deaths - 1, 30), LONGEST_DELAY))


class HubSlot:
    """Hub ``id`` and its processes, one after the other."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.process: HubProcess | None = None
        #: Those of another generation of code: they are starting, or give away what they have.
        self.others: list[HubProcess] = []
        #: It is to give away what it has, and so are its next processes.
        self.drained = False
        #: There will be fewer hubs: it is not started again.
        self.leaving = False
        #: How many processes it has had after the first.
        self.restarts = -1
        self._quick_deaths = 0

    def next_start(self) -> float:
        """Count the death of the process, unless it was told to end. Returns the seconds until the next is to
        start."""
        if self.process is not None and self.process.obeyed:
            self._quick_deaths, self.process = 0, None
            return 0.0
        # A process that never served counts as a quick death, however long it took.
        served = self.process is not None and self.process.ready
        lived = time.monotonic() - self.process.started if self.process and served else 0.0
        self._quick_deaths = self._quick_deaths + 1 if lived < QUICK else 0
        self.process = None
        return restart_delay(self._quick_deaths)

    def follow(self, process: HubProcess) -> None:
        """Here is its next process."""
        process.unproven = self._quick_deaths > 0
        self.process = process

    def replace(self, process: HubProcess) -> HubProcess | None:
        """Here is its own process of another generation. Returns the one that was before."""
        before, self.process = self.process, process
        self._quick_deaths, self.drained = 0, False
        return before

    @property
    def state(self) -> str:
        return self.process.state if self.process else "restarting"

    @property
    def processes(self) -> list[HubProcess]:
        """All that run."""
        known = ([self.process] if self.process else []) + self.others
        return [process for process in known if process.exit_code is None]

    def rows(self, is_empty: Callable[[HubProcess], bool]) -> list[dict[str, Any]]:
        """The form of ``actorrpc status --json``: first its own process; the pid is null if there is none.

        ``is_empty`` says of one that is drained whether it has given everything away.
        """
        return [self._row(process, is_empty) for process in (self.process, *self.others)]

    def _row(self, process: HubProcess | None, is_empty: Callable[[HubProcess], bool]) -> dict[str, Any]:
        load = process.load if process else Load()
        return {
            "id": self.id,
            "pid": process.pid if process else None,
            "generation": process.generation if process else None,
            "serial": process.serial if process else None,
            "restarts": self.restarts,
            "state": process.state if process else "restarting",
            "draining": _draining(process, is_empty),
            "connections": load.connections,
            "cpu": round(load.cpu, 4),
            "lag_ms": round(load.lag_ms, 3),
            "busy": round(load.busy, 4),
            "lag_p99_ms": round(load.lag_p99_ms, 3),
            "runnable": load.runnable,
            # Of clients, so far: of this process.
            "calls": load.calls,
            "memory": load.memory,
            "over_memory": load.over_memory,
            "unsent_bytes": load.unsent_bytes,
            # Connections that several clients seem to share.
            "shared": {
                key: getattr(load.shared, key) for key in ("connections", "calls", "refused", "first")
            },
        }

    def __repr__(self) -> str:
        return f"<HubSlot {self.id}: {self.process!r}>"


def _draining(process: HubProcess | None, is_empty: Callable[[HubProcess], bool]) -> dict[str, Any] | None:
    """How far the drain of a process is; None if it is not drained."""
    if process is None or not process.draining:
        return None
    draining = process.load.draining
    return {
        "left": left(process.load),
        "moved": draining.moved,
        "stays": dict(draining.stays),
        "empty": is_empty(process),
    }
