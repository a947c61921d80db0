"""The simulated connections: where each is, what it takes, and what its hub has measured of that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Connections"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Seconds over which hubs average a connection's load: ConnectionLoad's ``load`` and ``recent``.
LONG, SHORT = 10.0, 1.0


class Connections:
    """All connections, as columns; a connection is its row's number. Loads are shares of a core.

    A load is constant between two changes, so the two averages need to be brought up to date only when it
    changes or is asked for: after ``t`` seconds an average has gone all but ``exp(-t / period)`` of its way.
    """

    def __init__(self, placed: Indices, hubs: int, loads: Floats, ages: Floats) -> None:
        self.hubs = hubs
        self.count = len(placed)
        self.hub = placed.astype(np.int64)
        self.load = loads.astype(np.float64)
        self.born = -ages
        self.state_bytes = np.full(self.count, 2000.0)
        self.freeze_ms = np.full(self.count, 0.3)
        #: For how many milliseconds a move stops the two hubs, in all.
        self.move_ms = np.full(self.count, 0.6)
        #: Ids, where others have chosen them; and why a connection cannot move.
        self.names: list[str] | None = None
        self.why: dict[int, str] = {}
        self.group: dict[int, str] = {}
        self._by_name: dict[str, int] = {}
        #: How often each has connected again, as a new connection.
        self._times = np.zeros(self.count, np.int64)
        self._averages = np.tile(self.load, (2, 1))
        self._since = np.zeros(self.count)
        self._members = [np.flatnonzero(self.hub == hub) for hub in range(hubs)]
        self._sizes = np.array([len(each) for each in self._members])
        self._slot = np.zeros(self.count, np.int64)
        for members in self._members:
            self._slot[members] = np.arange(len(members))

    def name(self, names: list[str]) -> None:
        """Give them ids that others chose."""
        self.names = names
        self._by_name = {name: row for row, name in enumerate(names)}

    def id(self, row: int) -> str:
        if self.names is not None:
            return self.names[row]
        return f"{row}.{self._times[row]}"

    def row(self, id: str) -> int | None:
        """The row of a connection that exists; None for one that has gone, or never was."""
        if self.names is not None:
            return self._by_name.get(id)
        number, _, times = id.partition(".")
        if not (number.isdecimal() and times.isdecimal() and int(number) < self.count):
            return None
        row = int(number)
        return row if self._times[row] == int(times) else None

    def members(self, hub: int) -> Indices:
        """The rows at a hub, in no particular order. Valid until one comes or goes."""
        return self._members[hub][: self._sizes[hub]]

    @property
    def sizes(self) -> Indices:
        return self._sizes

    def move(self, row: int, target: int) -> None:
        source = int(self.hub[row])
        last = self._members[source][self._sizes[source] - 1]
        self._members[source][self._slot[row]] = last
        self._slot[last] = self._slot[row]
        self._sizes[source] -= 1
        if self._sizes[target] == len(self._members[target]):
            grown = max(16, 2 * len(self._members[target]))
            self._members[target] = np.resize(self._members[target], grown)
        self._members[target][self._sizes[target]] = row
        self._slot[row] = self._sizes[target]
        self._sizes[target] += 1
        self.hub[row] = target

    def reconnect(self, rows: Indices, targets: Indices, now: float) -> None:
        """Their hub has gone: make them new connections elsewhere, which have not been measured yet."""
        for row, target in zip(rows.tolist(), targets.tolist(), strict=True):
            self.move(row, target)
        self._times[rows] += 1
        self.born[rows] = now
        self._since[rows] = now
        self._averages[:, rows] = self.load[rows]

    def change(self, rows: Indices, loads: Floats, now: float) -> None:
        """Set the loads of some connections from now on. No row may be given twice."""
        self._averages[:, rows] = self.averages(rows, now)
        self._since[rows] = now
        self.load[rows] = loads

    def averages(self, rows: Indices, now: float) -> Floats:
        """The long and the short average of each."""
        load = self.load[rows]
        passed = now - self._since[rows]
        left = np.exp(-passed / np.array([[LONG], [SHORT]]))
        averages: Floats = load + (self._averages[:, rows] - load) * left
        return averages

    def long(self, rows: Indices, now: float) -> Floats:
        """The long average alone."""
        load = self.load[rows]
        averages: Floats = load + (self._averages[0, rows] - load) * np.exp((self._since[rows] - now) / LONG)
        return averages

    def demand(self) -> Floats:
        """What each hub is asked for, in cores."""
        demand: Floats = np.bincount(self.hub, weights=self.load, minlength=self.hubs).astype(np.float64)
        return demand
