"""All hubs of a server, by their numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import Any

from actorrpc.broker.hub_process import HubProcess
from actorrpc.broker.hub_slot import HubSlot

__all__ = ["HubSlots"]


class HubSlots:
    """Hubs 0 to ``count`` - 1."""

    def __init__(self, count: int) -> None:
        self._slots = [HubSlot(id) for id in range(count)]

    def __iter__(self) -> Iterator[HubSlot]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def of(self, process: HubProcess) -> HubSlot:
        """The hub whose process it is, or was."""
        return self._slots[process.hub]

    def __getitem__(self, number: int) -> HubSlot:
        return self._slots[number]

    @property
    def processes(self) -> list[HubProcess]:
        """Those that run."""
        return [process for slot in self._slots for process in slot.processes]

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
        return next((process for process in self.processes if process.serial == number), None)

    def rows(self, is_empty: Callable[[HubProcess], bool]) -> list[dict[str, Any]]:
        """The form of ``actorrpc status --json``, of all processes: first each hub's own, by the hubs'
        numbers. ``is_empty``: as in ``HubSlot.rows``."""
        rows = [slot.rows(is_empty) for slot in self._slots]
        return [row for some in zip_longest(*rows) for row in some if row is not None]

    def __repr__(self) -> str:
        return f"<HubSlots {self._slots}>"
