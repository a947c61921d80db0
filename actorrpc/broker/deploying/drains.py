"""Hubs that give all they have to others: their connections, and the topics that they are the home of.

While none of the others serves they hold: they serve on, and accept, until one does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from actorrpc.broker.processes.hub_process import HubProcess, left
from actorrpc.broker.sharing.members import Members
from actorrpc.errors import ConfigError
from actorrpc.loop.timers import every
from actorrpc.pb import control_pb2

__all__ = ["Drains"]

log = logging.getLogger("actorrpc.broker")

#: Between two looks at who is silent, in seconds.
LOOK = 1.0


class Drains:
    """The processes that are drained, and where what they have goes."""

    def __init__(self, members: Members) -> None:
        self._members = members
        #: By process: where its connections go; empty: to all that are not drained.
        self._targets: dict[HubProcess, Sequence[HubProcess]] = {}
        #: By process, in how many seconds it should be empty; 0: in its own drain timeout.
        self._within: dict[HubProcess, float] = {}
        #: By process, the serials of those that it was told of last.
        self._told: dict[HubProcess, set[int]] = {}
        #: Since when nobody has been there to take anything, on the monotonic clock; None: somebody is.
        self._held_since: float | None = None
        #: Runs while there are any.
        self._timer: Any = None

    def __contains__(self, process: HubProcess) -> bool:
        return process in self._targets

    def begin(self, targets: Mapping[HubProcess, Sequence[HubProcess]], within: float = 0.0) -> None:
        """Drain processes, each into its targets, or, if there are none, into all that are not drained.

        ``within`` is the time that there is, in seconds; 0: the processes' own drain timeout.
        """
        self._targets.update(targets)
        self._within = {each: self._within.get(each, 0.0) for each in self._targets}
        self._within.update(dict.fromkeys(targets, within))
        for process in targets:
            process.draining = True
        self._members.assign_queues()
        self.changed()

    def check_takers(self, leaving: Collection[HubProcess]) -> None:
        """Raises ConfigError if all other processes are drained, or there are none."""
        if not self.takers(leaving):
            raise ConfigError("there is no other hub to take the connections")

    def takers(self, leaving: Collection[HubProcess]) -> list[HubProcess]:
        """Who could be given what these have."""
        return [process for process in self._members.balanced if process not in leaving]

    def undo(self, processes: Collection[HubProcess]) -> None:
        """Let processes go on as before; they get a share of the topics again."""
        for process in processes:
            self._targets.pop(process, None)
            process.draining = process.held = False
            process.send(control_pb2.ToHub(drain=control_pb2.Drain()))
        self._members.assign_queues()
        self.changed(share=True)

    def changed(self, *, share: bool = False) -> None:
        """Say again where everything goes: a process has come or gone. ``share``: as ``Members.join``."""
        self._forget_ended()
        self._hold_or_go_on()
        self._members.set_homeless({process.serial for process in self._targets}, share=share)
        for process in self._targets:
            self._tell(process)
        if self._targets and self._timer is None:
            self._timer = every(LOOK, self._look, ref=False)

    def _look(self) -> None:
        """Say anew where something goes if a process has fallen silent, or is heard again."""
        self._forget_ended()
        self._hold_or_go_on()
        for process in self._targets:
            if {each.serial for each in self._able(process)} != self._told.get(process):
                self._tell(process)
        if not self._targets:
            self._timer.close()
            self._timer = None

    def _forget_ended(self) -> None:
        self._targets = {each: to for each, to in self._targets.items() if each.exit_code is None}

    @property
    def hold(self) -> bool:
        """Whether nobody who is not drained could take anything now."""
        return not any(process.reliable for process in self._members.balanced)

    @property
    def held_for(self) -> float:
        """For how many seconds those that are drained have held; 0: they do not."""
        return 0.0 if self._held_since is None else time.monotonic() - self._held_since

    def _hold_or_go_on(self) -> None:
        """Those that are drained accept connections again as long as they hold: somebody has to."""
        hold = bool(self._targets) and self.hold
        if hold and self._held_since is None:
            self._held_since = time.monotonic()
            log.warning("no hub is there to take what %s have: they serve on until one is", self._named())
        elif not hold and self._held_since is not None:
            self._held_since = None
            if self._targets:
                log.info("what %s have goes on to others", self._named())
        changed = [process for process in self._targets if process.held is not hold]
        for process in changed:
            process.held = hold
        if changed:
            self._members.assign_queues()

    def _named(self) -> str:
        named = (f"hub {each.hub} (pid {each.pid})" for each in self._targets)
        return ", ".join(named)

    def _tell(self, process: HubProcess) -> None:
        loads = {each.serial: each.load.connections for each in self._able(process)}
        drain = control_pb2.Drain(targets=loads, within=self._within.get(process, 0.0), hold=not loads)
        process.send(control_pb2.ToHub(drain=drain))
        self._told = {each: told for each, told in self._told.items() if each in self._targets}
        self._told[process] = {*loads}

    def _able(self, process: HubProcess) -> list[HubProcess]:
        """Where what a process has can go: to its targets, or else to all others. A silent one is given
        nothing, since each connection would be frozen until it does not answer."""
        for able in (self._targets[process], self.takers([process])):
            if reliable := [each for each in able if each.exit_code is None and each.reliable]:
                return reliable
        return []

    def empty(self, process: HubProcess) -> bool:
        """Whether a process has given everything away, or has ended."""
        return process.exit_code is not None or (process.empty and not self._members.needs(process.serial))

    def progress(self, processes: Collection[HubProcess]) -> dict[str, Any]:
        """How far they are: connections and keyed actors ``left`` and ``moved``, and by reason how many could
        not move when that was last tried."""
        drains = [process.load.draining for process in processes]
        stays: dict[str, int] = {}
        for drain in drains:
            for why, count in drain.stays.items():
                stays[why] = stays.get(why, 0) + count
        return {
            "left": sum(left(process.load) for process in processes if process.exit_code is None),
            "moved": sum(drain.moved for drain in drains),
            "stays": dict(sorted(stays.items(), key=lambda item: -item[1])),
        }

    def __repr__(self) -> str:
        return f"<Drains of {[process.serial for process in self._targets]}>"
