"""The record of a real run (`actorrpc serve --record FILE`) as a load: how would other policies have done?

One JSON object a line. A report: ``{"t": seconds, "hubs": [{"hub": 0, "busy": 0.5, "heaviest": [...],
"others": [...]}]}``, where a connection is an object with the fields of ConnectionLoad. What else is known of
a hub is not needed, nor are the lines of moves: in the replay connections begin where they were first seen,
and move as the policy decides.

A server that was killed, or whose disk was full, may have left half a line at the end: it is ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actorrpc.balancing.simulation.connections import Connections
from actorrpc.balancing.simulation.loads import Changes, Floats, Indices
from actorrpc.errors import ConfigError

__all__ = ["Recording", "Replayed"]

#: Bytes of state that are written, sent and read in a second.
STATE_RATE = 200e6
#: A connection that has not been named for so long has ended, or weighs nothing.
FORGOTTEN = 30.0


@dataclass
class Recording:
    """What a file says, on a clock that begins with 0."""

    hubs: list[int]
    names: list[str]
    homes: list[int]
    facts: list[dict[str, Any]]
    #: Of each report: its time, the loads of those that are named or forgotten, and each hub's other work.
    reports: list[tuple[float, dict[int, float], list[float]]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.reports[-1][0]

    @classmethod
    def read(cls, path: str) -> Recording:
        """Raises ConfigError for a file that cannot be read, is something else, or has nothing to replay."""
        try:
            lines = list(_reports(path))
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error
        if len(lines) < 2:
            raise ConfigError(f"{path} is no recording: it takes two reports at least")
        numbers = sorted({hub["hub"] for line in lines for hub in line["hubs"]})
        if not any(hub["named"] for line in lines for hub in line["hubs"]):
            what = "connections, so there is nothing to balance" if numbers else "hubs"
            raise ConfigError(f"cannot replay {path}: its {len(lines)} reports name no {what}")
        recording = cls(numbers, [], [], [])
        _Reader(recording).read(lines)
        return recording


def _reports(path: str) -> Iterator[dict[str, Any]]:
    before = -math.inf
    with Path(path).open("rb") as file:
        number, line = 0, file.readline()
        while line:
            number, this, line = number + 1, line, file.readline()
            try:
                found = json.loads(this.decode())
            except (ValueError, RecursionError) as error:
                if not line:  # it was cut off
                    return
                raise _wrong(path, number, "it is not JSON") from error
            try:
                if "hubs" not in found:
                    continue
                time, hubs = _number(found["t"]), [_hub(hub) for hub in found["hubs"]]
            except KeyError as error:
                raise _wrong(path, number, f"{error} is missing") from error
            except (ValueError, TypeError, AttributeError, OverflowError) as error:
                raise _wrong(path, number, "something in it is not what a report has there") from error
            if time <= before:
                raise _wrong(path, number, f"its t, {time:.10g}, is not after {before:.10g}, the one before")
            before = time
            yield {"t": time, "hubs": hubs}


def _wrong(path: str, number: int, why: str) -> ConfigError:
    return ConfigError(f"{path}, line {number}, is no line of a recording: {why}")


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _hub(hub: dict[str, Any]) -> dict[str, Any]:
    rows = [_connection(each) for part in ("heaviest", "others") for each in hub.get(part, ())]
    return {
        "hub": int(hub["hub"]),
        "busy": _number(hub["busy"]),
        "named": {each["id"]: each for each in rows},
    }


def _connection(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "recent": max(0.0, _number(row.get("recent", row["load"]))),
        "age": _number(row.get("age", 0)),
        "state_bytes": _number(row.get("state_bytes", 0)),
        "freeze_ms": _number(row.get("freeze_ms", 0)),
        "move_ms": _number(row.get("move_ms", 0)),
        "why": "" if row.get("too_heavy") else str(row.get("why") or ""),
        "group": str(row.get("group") or ""),
    }


class _Reader:
    """Goes through the reports once."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._rows: dict[str, int] = {}
        self._place = {hub: at for at, hub in enumerate(recording.hubs)}
        self._load: dict[int, float] = {}
        self._at: dict[int, int] = {}
        self._named: dict[int, float] = {}

    def read(self, lines: list[dict[str, Any]]) -> None:
        begin = lines[0]["t"]
        fixed = [0.0] * len(self._place)
        for line in lines:
            time = line["t"] - begin
            loads: dict[int, float] = {}
            for hub in line["hubs"]:
                loads.update(self._take(time, self._place[hub["hub"]], hub["named"]))
            for row in [row for row, named in self._named.items() if time - named > FORGOTTEN]:
                del self._named[row]
                loads[row] = 0.0
            self._load.update(loads)
            for hub in line["hubs"]:
                place = self._place[hub["hub"]]
                there = math.fsum(load for row, load in self._load.items() if self._at[row] == place)
                fixed[place] = max(0.0, hub["busy"] - there)
            self._recording.reports.append((time, loads, list(fixed)))

    def _take(self, time: float, place: int, named: dict[str, Any]) -> Iterator[tuple[int, float]]:
        for name, each in named.items():
            row = self._rows.setdefault(name, len(self._rows))
            if row == len(self._recording.names):
                self._recording.names.append(name)
                self._recording.homes.append(place)
                self._recording.facts.append({})
            self._recording.facts[row] = each
            self._at[row], self._named[row] = place, time
            yield row, each["recent"]


class Replayed:
    """A recording as a load, in cores; the replay's unit is one core."""

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
        ages = np.array([each["age"] for each in recording.facts])
        connections = Connections(homes, len(recording.hubs), loads, ages)
        connections.name(recording.names)
        for row, each in enumerate(recording.facts):
            connections.state_bytes[row] = each["state_bytes"]
            connections.freeze_ms[row] = each["freeze_ms"]
            # Of what an older version has recorded, as `steady` would guess it.
            old = 2 * each["freeze_ms"] + each["state_bytes"] / STATE_RATE * 1e3
            connections.move_ms[row] = each["move_ms"] or old
            if each["why"]:
                connections.why[row] = each["why"]
            if each["group"]:
                connections.group[row] = each["group"]
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
