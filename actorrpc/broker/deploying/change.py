"""What a reload and a scale have in common: a change of hubs that takes its time, and what is told of it."""

from __future__ import annotations

import time
from enum import Enum
from typing import Any

from gevent.event import AsyncResult

from actorrpc.broker.deploying.left_behind import LeftBehind
from actorrpc.broker.processes.hub_process import HubProcess

__all__ = ["Change", "Phase"]


class Phase(str, Enum):
    """Where a change is, in the words of ``actorrpc status --json``."""

    STARTING = "starting"
    MOVING = "moving"
    ENDING = "ending"
    DONE = "done"
    ABANDONED = "abandoned"


class Change:
    """One change, which has just begun, in ``phase``. It may have to wait until new processes are ready."""

    def __init__(self, phase: Phase) -> None:
        self.phase = phase
        #: Why it was abandoned; and, if the app has raised something, the traceback, in lines.
        self.error = self.trace = ""
        #: Who could not move in time, once that is over.
        self.left_behind = LeftBehind()
        self._began = self._ended = time.monotonic()
        #: The new processes, and whether each is ready: "" or why not.
        self._ready: dict[HubProcess, AsyncResult[str]] = {}

    @property
    def under_way(self) -> bool:
        return self.phase not in (Phase.DONE, Phase.ABANDONED)

    def __contains__(self, process: HubProcess) -> bool:
        """Whether it is one of the new ones, which do not serve yet."""
        return self.phase is Phase.STARTING and process in self._ready

    def heard(self, process: HubProcess, error: str) -> None:
        """A process is ready, or, ``error``, will not be. One that is not of this change is ignored."""
        ready = self._ready.get(process)
        if ready is not None and not ready.ready():
            self.trace = self.trace or process.trace
            ready.set(error)

    @property
    def seconds(self) -> float:
        """For how long it has been under way, or was."""
        return (time.monotonic() if self.under_way else self._ended) - self._began

    def _finish(self, phase: Phase, error: str = "") -> None:
        """It is over: done, or abandoned."""
        self.phase, self.error, self._ended = phase, error, time.monotonic()

    @property
    def _detail(self) -> dict[str, str]:
        """For the line of the log that says why it was abandoned."""
        return {"detail": self.trace} if self.trace else {}

    def _told(self, progress: dict[str, Any]) -> dict[str, Any]:
        """What the status has of each change."""
        return {
            "phase": self.phase.value,
            "error": self.error,
            "trace": self.trace,
            "seconds": round(self.seconds, 3),
            "ended": self.left_behind.row(),
            **progress,
        }
