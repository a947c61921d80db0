"""A recording of a real server (`actorrpc serve --record FILE`) as a workload, to try other policies on it.

In the replay connections begin where they were first seen, and move as the policy decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from actorrpc.balancing.policies.parameters import Parameters, stops
from actorrpc.balancing.recording import Reported, reports
from actorrpc.balancing.simulation.connections import Connections
from actorrpc.balancing.simulation.workloads import Changes, Floats, Indices
from actorrpc.balancing.view import ConnectionLoad, HubLoad
from actorrpc.errors import ConfigError

__all__ = ["Recording", "Replayed"]

#: Seconds. A connection that has not been named for so long has ended, or takes next to nothing.
FORGOTTEN = 30.0


@dataclass
class Recording:
    """What a file says, on a clock that begins with 0."""

    hubs: list[int]
    names: list[str]
    homes: list[int]
    #: What was last reported of each connection.
    facts: list[ConnectionLoad]
    #: Of each report: its time, the loads of those that are named or forgotten, and each hub's other work.
    reports: list[tuple[float, dict[int, float], list[float]]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.reports[-1][0]

    @classmethod
    def read(cls, path: str) -> Recording:
        """Raises ConfigError for a file that cannot be read, is something else, or has nothing to replay."""
        try:
            found = list(reports(path))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        if len(found) < 2:
            raise ConfigError(f"{path} is not a recording: one has at least two reports")
        hubs = [hub for each in found for hub in each.hubs]
        numbers = sorted({hub.hub for hub in hubs})
        if not any(_named(hub) for hub in hubs):
            what = "connections, so there is nothing to balance" if numbers else "hubs"
            raise ConfigError(f"cannot replay {path}: its {len(found)} reports name no {what}")
        recording = cls(numbers, [], [], [])
        _Reader(recording).read(found)
        return recording


def _named(hub: HubLoad) -> dict[str, ConnectionLoad]:
    return {each.id: each for each in (*hub.heaviest, *hub.others)}


class _Reader:
    """Goes through the reports once."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._rows: dict[str, int] = {}
        self._place = {hub: at for at, hub in enumerate(recording.hubs)}
        self._load: dict[int, float] = {}
        self._at: dict[int, int] = {}
        self._named: dict[int, float] = {}

    def read(self, found: Sequence[Reported]) -> None:
        fixed = [0.0] * len(self._place)
        for reported in found:
            time = reported.at - found[0].at
            loads: dict[int, float] = {}
            for hub in reported.hubs:
                loads.update(self._take(time, self._place[hub.hub], _named(hub).values()))
            for row in [row for row, named in self._named.items() if time - named > FORGOTTEN]:
                del self._named[row]
                loads[row] = 0.0
            self._load.update(loads)
            for hub in reported.hubs:
                place = self._place[hub.hub]
                there = math.fsum(load for row, load in self._load.items() if self._at[row] == place)
                fixed[place] = max(0.0, hub.busy - there)
            self._recording.reports.append((time, loads, list(fixed)))

    def _take(self, time: float, place: int, named: Iterable[ConnectionLoad]) -> Iterator[tuple[int, float]]:
        recording = self._recording
        for each in named:
            row = self._rows.setdefault(each.id, len(self._rows))
            if row == len(recording.names):
                recording.names.append(each.id)
                recording.homes.append(place)
                recording.facts.append(each)
            recording.facts[row] = each
            self._at[row], self._named[row] = place, time
            yield row, each.recent


class Replayed:
    """A recording as a workload, in cores; the replay's unit is one core."""

    undone_after: float | None = None

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._next = 0
        self.period = 0.25
        #: What each hub does that belongs to no connection named.
        self.fixed: Floats = np.zeros(len(recording.hubs))

    def connections(self) -> Connections:
        """All that are ever named; those that come later take nothing until then."""
        recording = self._recording
        homes = np.array(recording.homes, np.int64)
        loads = self.start(homes, len(recording.hubs))
        ages = np.array([each.age for each in recording.facts])
        connections = Connections(homes, len(recording.hubs), loads, ages)
        connections.name(recording.names)
        parameters = Parameters()
        for row, each in enumerate(recording.facts):
            connections.state_bytes[row] = each.state_bytes
            connections.freeze_ms[row] = each.freeze_ms
            # Older recordings do not say it; then it is what `steady` would guess.
            connections.move_ms[row] = stops(each, parameters) * 1e3
            if each.why and not each.too_heavy:  # whether it is too heavy depends on the scenario's limit
                connections.why[row] = each.why
            if each.group:
                connections.group[row] = each.group
        return connections

    def start(self, homes: Indices, hubs: int) -> Floats:
        loads = np.zeros(len(homes))
        if (changes := self.change(0.0)) is not None:
            loads[changes[0]] = changes[1]
        return loads

    def move_ms(self, count: int) -> Floats | None:
        return None

    def change(self, now: float) -> Changes | None:
        reports = self._recording.reports
        changed: dict[int, float] = {}
        while self._next < len(reports) and reports[self._next][0] <= now + 1e-9:
            changed.update(reports[self._next][1])
            self.fixed[:] = reports[self._next][2]
            self._next += 1
        if not changed:
            return None
        return np.array(list(changed), np.int64), np.array(list(changed.values()))

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        return None
