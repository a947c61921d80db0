"""All hubs of a server, by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.broker.processes.hub_slot import HubSlot

__all__ = ["HubSlots"]


class HubSlots:
    """The hubs from 0 on, without gaps: with fewer hubs, the highest go."""

    def __init__(self, count: int) -> None:
        self._slots = [HubSlot(id) for id in range(count)]
        #: Those whose first processes start, and which will be hubs once all of them are ready.
        self._coming: list[HubSlot] = []

    def __iter__(self) -> Iterator[HubSlot]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def of(self, process: HubProcess) -> HubSlot:
        """The hub whose process it is, or was."""
        return self._slots[process.hub]

    def slot_of(self, process: HubProcess) -> HubSlot | None:
        """The hub that a process is one of now, if any."""
        slot = self._slots[process.hub] if process.hub < len(self._slots) else None
        return slot if slot is not None and (slot.process is process or process in slot.others) else None

    def __getitem__(self, number: int) -> HubSlot:
        return self._slots[number]

    @property
    def processes(self) -> list[HubProcess]:
        """Those that run."""
        return [process for slot in (*self._slots, *self._coming) for process in slot.processes]

    @property
    def pids(self) -> set[int]:
        """Those of the processes that run, whose ends nobody else may wait for."""
        return {process.pid for process in self.processes}

    @property
    def connections(self) -> int:
        """How many all hubs have, as last reported."""
        return sum(process.load.connections for process in self.processes)

    @property
    def all_ready(self) -> bool:
        return all(slot.process is not None and slot.process.ready for slot in self._slots)

    def states(self) -> dict[int, str]:
        """What each hub is doing."""
        return {slot.id: slot.state for slot in self._slots}

    def process(self, number: int) -> HubProcess | None:
        """The process that a person means by a hub's number, which is its own one, or by a serial."""
        if number < len(self._slots):
            process = self._slots[number].process
            return process if process is not None and process.exit_code is None else None
        return self.by_serial(number)

    def by_serial(self, serial: int) -> HubProcess | None:
        return next((process for process in self.processes if process.serial == serial), None)

    def inherit(self, process: HubProcess, generation: int) -> None:
        """Add one that another broker has started: its hub's own, if it is of that generation of code."""
        slot = self.of(process)
        if process.generation == generation and slot.process is None:
            slot.process = process
        else:
            slot.others.append(process)

    # ---- more hubs, and fewer

    def expect(self, process: HubProcess) -> None:
        """Add the first process of a hub that is to come."""
        slot = HubSlot(process.hub)
        slot.process, slot.restarts = process, 0
        self._coming.append(slot)

    def admit(self) -> None:
        """Those that were to come are hubs now."""
        self._slots += self._coming
        self._coming = []

    def disappoint(self) -> None:
        """Kill those that were to come; they go when their processes have ended."""
        for slot in self._coming:
            for process in slot.processes:
                process.kill()

    def ended(self, process: HubProcess) -> None:
        """A process has exited."""
        self._coming = [slot for slot in self._coming if slot.process is not process]

    def cut(self, count: int) -> None:
        """From this number on there are no hubs any more."""
        del self._slots[count:]

    # ---- what is told of them

    def rows(self, is_empty: Callable[[HubProcess], bool]) -> list[dict[str, Any]]:
        """The form of ``actorrpc status --json``, of all processes: first each hub's own, by the hubs'
        numbers. ``is_empty``: as in ``HubSlot.rows``."""
        rows = [slot.rows(is_empty) for slot in self._slots]
        return [row for some in zip_longest(*rows) for row in some if row is not None]

    def __repr__(self) -> str:
        return f"<HubSlots {self._slots}, {len(self._coming)} to come>"
