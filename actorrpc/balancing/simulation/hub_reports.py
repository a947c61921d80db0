"""What the simulated hubs report: only what a real hub can know, late and with noise."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from actorrpc.balancing.simulation.connections import Connections
from actorrpc.balancing.view import ConnectionLoad, HubLoad

__all__ = ["PERIOD", "HubReports"]

#: Seconds between two reports of a hub.
PERIOD = 0.25
#: How many connections a report names: the heaviest, and others in turn.
HEAVIEST, OTHERS = 32, 16
#: With more connections than this a hub looks for its heaviest only in every fourth report: with a million,
#: most of the simulation's time would go into that.
MANY = 10_000

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
#: Why a move that stops two hubs for so many milliseconds is refused; "" if it is made.
TooLong = Callable[[float], str]


@dataclass(frozen=True)
class Moment:
    """What all hubs report at one moment. Rows of ``named`` that are -1 stand for no connection."""

    at: float
    serving: list[bool]
    busy: list[float]
    sizes: list[int]
    lag_ms: list[float]
    named: Indices
    long: Floats
    short: Floats


class Named(Sequence[ConnectionLoad]):
    """Some of a hub's connections, made only when a policy looks at them: it looks at few."""

    def __init__(
        self, moment: Moment, hub: int, part: slice, connections: Connections, too_long: TooLong
    ) -> None:
        self._source = moment, hub, part, connections
        self._too_long = too_long
        self._made: list[ConnectionLoad] | None = None

    def _make(self) -> list[ConnectionLoad]:
        if self._made is None:
            moment, hub, part, _ = self._source
            rows, long, short = (
                each[hub, part].tolist() for each in (moment.named, moment.long, moment.short)
            )
            heaviest_first = sorted(range(len(rows)), key=lambda at: -long[at])
            self._made = [
                self._describe(rows[at], long[at], short[at]) for at in heaviest_first if rows[at] >= 0
            ]
        return self._made

    def _describe(self, row: int, long: float, short: float) -> ConnectionLoad:
        moment, _, _, connections = self._source
        why, move_ms = connections.why.get(row, ""), float(connections.move_ms[row])
        too_heavy = "" if why else self._too_long(move_ms)
        return ConnectionLoad(
            connections.id(row),
            long,
            short,
            int(connections.state_bytes[row]),
            float(connections.freeze_ms[row]),
            moment.at - float(connections.born[row]),
            why or too_heavy,
            connections.group.get(row, ""),
            move_ms,
            bool(too_heavy),
        )

    @overload
    def __getitem__(self, at: int) -> ConnectionLoad: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[ConnectionLoad]: ...
    def __getitem__(self, at: int | slice) -> ConnectionLoad | Sequence[ConnectionLoad]:
        return self._make()[at]

    def __iter__(self) -> Iterator[ConnectionLoad]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())


class HubReports:
    """Takes the hubs' reports, and shows those that have arrived."""

    def __init__(
        self,
        connections: Connections,
        noise: float,
        late: float,
        random: np.random.Generator,
        too_long: TooLong = lambda move_ms: "",
    ) -> None:
        self._connections = connections
        self._too_long = too_long
        self._noise = noise
        self._late = late
        self._random = random
        self._taken: deque[Moment] = deque()
        hubs = connections.hubs
        self._named = np.full((hubs, HEAVIEST + OTHERS), -1, np.int64)
        self._turn = [0] * hubs
        self._number = 0

    def take(self, now: float, serving: Sequence[bool], busy: Floats, speed: Floats, lag: Floats) -> None:
        """Each hub reports. ``speed``, of each hub, is what connections got of what they wanted."""
        every = 4 if self._connections.count > MANY else 1
        for hub in range(self._connections.hubs):
            members = self._connections.members(hub)
            if hub % every == self._number % every or self._number == 0:
                self._find_heaviest(hub, members, now)
            self._take_others(hub, members)
        self._number += 1
        self._taken.append(self._moment(now, serving, busy, speed, lag))

    def _moment(
        self, now: float, serving: Sequence[bool], busy: Floats, speed: Floats, lag: Floats
    ) -> Moment:
        hubs = len(serving)
        # Connections that have left since the heaviest were looked for are no longer named.
        here = self._connections.hub[self._named] == np.arange(hubs)[:, None]
        self._named[~here] = -1
        known = np.flatnonzero(self._named.ravel() >= 0)
        averages = np.zeros((2, self._named.size))
        averages[:, known] = self._connections.averages(self._named.ravel()[known], now)
        noise = self._factors(self._named.size + hubs)
        averages *= noise[hubs:] * np.repeat(speed, self._named.shape[1])
        return Moment(
            now,
            list(serving),
            np.clip(busy * noise[:hubs], 0, 1).tolist(),
            self._connections.sizes.tolist(),
            (lag * 1000).tolist(),
            self._named.copy(),
            averages[0].reshape(self._named.shape),
            averages[1].reshape(self._named.shape),
        )

    def _factors(self, count: int) -> Floats:
        if not self._noise:
            return np.ones(count)
        return np.maximum(0.0, 1 + self._noise * self._random.standard_normal(count))

    def _find_heaviest(self, hub: int, members: Indices, now: float) -> None:
        if len(members) > HEAVIEST:
            long = self._connections.long(members, now)
            members = members[np.argpartition(long, len(long) - HEAVIEST)[-HEAVIEST:]]
        self._named[hub, :HEAVIEST] = -1
        self._named[hub, : len(members)] = members

    def _take_others(self, hub: int, members: Indices) -> None:
        row = self._named[hub, HEAVIEST:]
        row[:] = -1
        if len(members) > HEAVIEST:
            start = self._turn[hub] % len(members)
            others = members[start : start + OTHERS]
            self._turn[hub] = start + len(others)
            row[: len(others)] = others

    def arrived(self, now: float) -> dict[int, HubLoad]:
        """The last reports that have come by now; nothing of hubs that were away."""
        while len(self._taken) > 1 and self._taken[1].at <= now - self._late + 1e-9:
            self._taken.popleft()
        if not self._taken or self._taken[0].at > now - self._late + 1e-9:
            return {}
        moment = self._taken[0]
        heaviest, others = slice(0, HEAVIEST), slice(HEAVIEST, None)
        return {
            hub: HubLoad(
                hub,
                moment.busy[hub],
                moment.sizes[hub],
                Named(moment, hub, heaviest, self._connections, self._too_long),
                Named(moment, hub, others, self._connections, self._too_long),
                moment.lag_ms[hub],
                stale=now - moment.at,
            )
            for hub, serving in enumerate(moment.serving)
            if serving
        }
