"""More hubs, or fewer, while the server serves.

    STARTING ── a new hub cannot start ──► ABANDONED: no hub is added, the others serve on
       │ all are ready, and have joined
    DONE

    MOVING     connections and topics of the highest hubs go to the others, for as long as the drain timeout,
       │       not counting time in which none of these serves; if that goes on for long: ABANDONED
       │ nothing is left, or the time is up
    ENDING     GOAWAY to those who are left, and as much time again for their open calls
       │ the processes have ended
    DONE

New hubs get no connections moved to them by this: new ones come, and the policy moves others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
from gevent.event import AsyncResult

from actorrpc.broker.deploying.change import Change, Phase
from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.deploying.endings import end, wait_until_taken
from actorrpc.broker.host.descriptors import check_descriptors
from actorrpc.broker.processes.hub_process import QUICK, HubProcess
from actorrpc.broker.processes.hub_slots import HubSlots
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.sharing.members import Members
from actorrpc.errors import ConfigError
from actorrpc.log import about

__all__ = ["MOST_HUBS", "Scale"]

log = logging.getLogger("actorrpc.broker")

#: The numbers of hubs stay below the first serial: one number never means two processes.
MOST_HUBS = 1000


class Scale(Change):
    """One change to ``count`` hubs. ``change(function)`` calls it when nothing else changes the hubs, and
    returns what it returns."""

    def __init__(
        self,
        count: int,
        hubs: HubSlots,
        start: Callable[[int], HubProcess],
        queues: AcceptQueues,
        members: Members,
        drains: Drains,
        change: Callable[[Callable[[], Any]], Any],
        drain_timeout: float,
    ) -> None:
        self.count = count
        self.before = len(hubs)
        super().__init__(Phase.STARTING if count > self.before else Phase.MOVING)
        self._hubs = hubs
        self._start_process = start
        self._queues = queues
        self._members = members
        self._drains = drains
        self._change = change
        self._drain_timeout = drain_timeout
        self._leaving: list[HubProcess] = []

    def begin(self, *, begun: bool = False) -> None:
        """Begin, as a change. ``begun``: another broker has, so that it goes on, also where the others, which
        are to take what leaves, have just died and are not there again.

        Raises ConfigError if that cannot be, and then nothing has changed.
        """
        if not 1 <= self.count <= MOST_HUBS:
            raise ConfigError(f"there may be 1 to {MOST_HUBS} hubs, not {self.count}")
        if self.count >= self.before:
            check_descriptors(self.count, self.before, len(self._queues.bounds))
            self._queues.grow(self.before, self.count)
            self._members.assign_queues()
        else:
            self._begin_to_leave(begun)

    def _begin_to_leave(self, begun: bool) -> None:
        slots = [self._hubs[number] for number in range(self.count, self.before)]
        processes = [process for slot in slots for process in slot.processes]
        self._leaving = [process for process in processes if process in self._members]
        if not begun:
            self._drains.check_takers(self._leaving)
        self._drains.begin(dict.fromkeys(self._leaving, ()), self._drain_timeout)
        for slot in slots:
            slot.leaving = True
        for process in processes:
            if process not in self._members:  # it does not serve yet
                process.kill()

    @property
    def drain_timeout(self) -> float:
        return self._drain_timeout

    def run(self) -> None:
        """Do the rest. Never raises."""
        log.info("scale: from %d hubs to %d", self.before, self.count)
        try:
            if self.count > self.before:
                self._grow()
            else:
                self._shrink()
            self._finish(Phase.DONE)
            log.info("scale: %d hubs serve, after %.1f s", self.count, self.seconds)
        except gevent.GreenletExit:  # the server is stopping
            self._finish(Phase.ABANDONED, "the server is stopping")
        except ConfigError as error:
            self._abandon(str(error))
        except Exception as error:
            log.exception("the scale has failed")
            self._abandon(str(error))

    def _grow(self) -> None:
        for number in range(self.before, self.count):
            self._change(partial(self._start, number))
        for ready in gevent.iwait(list(self._ready.values())):
            if ready.value:
                raise ConfigError(ready.value)
        self._change(self._join)
        self._members.wait_until_told()

    def _start(self, number: int) -> None:
        try:
            process = self._start_process(number)
        except OSError as error:
            raise ConfigError(f"cannot start hub {number}: {error}") from error
        self._hubs.expect(process)
        self._ready[process] = AsyncResult()

    def _join(self) -> None:
        for process in self._ready:
            if process.exit_code is not None:
                raise ConfigError(f"hub {process.hub} {process.describe_exit()} when it was ready")
        processes = list(self._ready)
        self._ready.clear()  # from now on, their deaths are nothing special
        self._hubs.admit()
        self._members.join(processes, share=True)
        self._drains.changed()
        for process in processes:
            log.info("hub %d serves (pid %d)", process.hub, process.pid, extra=about(process.hub))

    def _shrink(self) -> None:
        patience = self._drain_timeout + QUICK
        if not wait_until_taken(self._drains, self._leaving, self._drain_timeout, patience):
            self._change(self._stay)
            raise ConfigError("none of the hubs that stay serves, to take what the others have")
        self.phase = Phase.ENDING
        self.left_behind = end("scale", self._leaving, self._drain_timeout)
        self._change(partial(self._hubs.cut, self.count))

    def _stay(self) -> None:
        """Those that were to go do not."""
        for number in range(self.count, self.before):
            slot = self._hubs[number]
            slot.leaving = False
            if slot.process is None:
                slot.follow(self._start_process(number))
            elif slot.process in self._leaving and not slot.drained:
                self._drains.undo([slot.process])

    def _abandon(self, error: str) -> None:
        self._finish(Phase.ABANDONED, error)
        log.error("scale: there are still %d hubs: %s", len(self._hubs), error, extra=self._detail)
        self._hubs.disappoint()

    def status(self) -> dict[str, Any]:
        """What ``actorrpc status --json`` has under ``scale``."""
        told = self._told(self._drains.progress(self._leaving))
        return {"hubs": self.count, "before": self.before, **told}

    def __repr__(self) -> str:
        return f"<Scale from {self.before} to {self.count} hubs, {self.phase.value}>"
