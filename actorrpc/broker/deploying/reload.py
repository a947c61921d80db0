"""A reload: a new generation of hubs is started, gets all that the old ones have, and these are ended.

    STARTING ── a hub cannot start ──► ABANDONED: the old generation serves on
       │ all are ready
    MOVING     connections and topics go from each hub to its successor, for as long as the drain timeout,
       │       not counting time in which no new hub serves
       │ nothing is left, or the time is up
    ENDING     GOAWAY to those who are left, and as much time again for their open calls
       │ the old processes have ended
    DONE

From MOVING on there is no way back: new connections, and hubs that die, are the new generation's. But while
none of its hubs serves it is stalled: the old ones serve on, and another reload may begin. Once that one
moves, this one is ABANDONED, and what was left to it is the other's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gevent
from gevent.event import AsyncResult

from actorrpc.broker.deploying.change import Change, Phase
from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.deploying.endings import end, wait_until_taken
from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.errors import ConfigError

__all__ = ["Reload", "ReloadOwner"]

log = logging.getLogger("actorrpc.broker")


class ReloadOwner(Protocol):
    """The supervisor. What is called here changes it, and must not be called during another change."""

    def start_successors(self, generation: Generation) -> list[HubProcess]:
        """Start one process of a generation for each hub. Raises OSError or ConfigError."""

    def changed(self) -> None:
        """Something is otherwise that another broker would have to know."""

    def succeed(
        self, generation: Generation, processes: Sequence[HubProcess], drain_timeout: float
    ) -> Mapping[HubProcess, Sequence[HubProcess]]:
        """Make a generation the current one, and begin to drain the old one. Returns, by process of the old
        one, its successor."""


class Reload(Change):
    """One reload, to ``generation``. ``change(function)`` calls it when nothing else changes the supervisor,
    and returns what it returns."""

    def __init__(
        self,
        owner: ReloadOwner,
        generation: Generation,
        drains: Drains,
        change: Callable[[Callable[[], Any]], Any],
        drain_timeout: float,
        *,
        started: Sequence[HubProcess] = (),
        old: Sequence[HubProcess] | None = None,
    ) -> None:
        """To go on with a reload that another broker began: ``started`` are the new processes, which are
        ready; or ``old`` those that are drained already, and have not ended."""
        super().__init__(Phase.STARTING if old is None else Phase.MOVING)
        self.generation = generation
        self._owner = owner
        self._drains = drains
        self._change = change
        self._drain_timeout = drain_timeout
        self._started = started
        self._old = [*(old or ())]

    @property
    def successors(self) -> list[HubProcess]:
        """The new processes, until they serve."""
        return [*(self._ready or self._started)] if self.phase is Phase.STARTING else []

    @property
    def drain_timeout(self) -> float:
        return self._drain_timeout

    @property
    def held_for(self) -> float:
        """For how many seconds it has been stalled: the new hubs do not serve, and the old ones have not
        ended. 0: it is not."""
        held = self.phase is Phase.MOVING and any(process.exit_code is None for process in self._old)
        return self._drains.held_for if held else 0.0

    def replaced(self, generation: Generation) -> None:
        """Another reload moves, and has taken the old processes of this one, unless these are ending."""
        if self.phase is Phase.MOVING:
            self._finish(Phase.ABANDONED, f"generation {generation.number} has replaced it")
            self._old.clear()

    def run(self) -> None:
        """Do it all. Never raises."""
        try:
            self._run()
        except gevent.GreenletExit:
            if self.under_way:
                self._finish(Phase.ABANDONED, "the server is stopping")
        except Exception as error:
            log.exception("the reload has failed")
            if self.phase is Phase.STARTING:
                self._abandon(str(error))
            else:  # the new generation serves
                self._stop_old()
                self._finish(Phase.DONE, str(error))

    def _run(self) -> None:
        if self.phase is Phase.STARTING and not self._start_and_succeed():
            return
        wait_until_taken(self._drains, self._old, self._drain_timeout)
        if not self.under_way:  # another has replaced it
            return
        self.phase = Phase.ENDING
        self.left_behind = end("reload", self._old, self._drain_timeout)
        self._finish(Phase.DONE)
        log.info(
            "reload: generation %d serves, and the old one has ended, after %.1f s",
            self.generation.number,
            self.seconds,
        )

    def _start_and_succeed(self) -> bool:
        """Returns False if it is abandoned."""
        log.info("reload: generation %d starts", self.generation.number)
        try:
            self._change(self._start)
        except (OSError, ConfigError) as failure:  # no interpreter is where it should be, say
            self._abandon(str(failure))
            return False
        for ready in gevent.iwait(list(self._ready.values())):
            if error := ready.get():
                self._abandon(error)
                return False
        return bool(self._change(lambda: self._succeed(list(self._ready))))

    def _start(self) -> None:
        processes = self._started or self._owner.start_successors(self.generation)
        self._ready = {process: AsyncResult() for process in processes}
        for process in self._started:
            self._ready[process].set("")
        self._owner.changed()

    def _succeed(self, processes: list[HubProcess]) -> bool:
        """Make them the hubs' own, unless one has died meanwhile: then there still is a way back."""
        for process in processes:
            if process.exit_code is not None:
                self._abandon(_describe(process))
                return False
        self.phase = Phase.MOVING
        self._old = list(self._owner.succeed(self.generation, processes, self._drain_timeout))
        return True

    def give_up(self, error: str) -> None:
        """Abandon what another broker began, since that cannot be gone on with."""
        self._ready = {process: AsyncResult() for process in self._started}
        self._abandon(error)

    def _stop_old(self) -> None:
        for process in self._old:
            process.stop(self._drain_timeout)

    def _abandon(self, error: str) -> None:
        self._finish(Phase.ABANDONED, error)
        log.error("reload: generation %d is abandoned: %s", self.generation.number, error, extra=self._detail)
        for process in self._ready:
            process.kill()

    def status(self) -> dict[str, Any]:
        """What ``actorrpc status --json`` has under ``reload``."""
        return {
            "generation": self.generation.number,
            **self._told(self._drains.progress(self._old)),
            "stalled": round(self.held_for, 3),
            "drain_timeout": self._drain_timeout,
        }

    def __repr__(self) -> str:
        return f"<Reload to generation {self.generation.number}, {self.phase.value}>"


def _describe(process: HubProcess) -> str:
    return f"hub {process.hub} {process.describe_exit()} while it was starting"
