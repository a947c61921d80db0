"""What the simulated clients do: workloads that stay, that change by themselves, and that swing.

Connections' loads are given relative to the mean of all; `adversaries.py` has clients that answer moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from actorrpc.balancing.simulation.connections import Connections

__all__ = ["Changes", "MakeWorkload", "Random", "Workload"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
#: Rows, each once, and their new loads.
Changes = tuple[Indices, Floats]
Random = np.random.Generator


class Workload(Protocol):
    """What clients ask for in one run, by random numbers of its own: all policies are asked for the same."""

    #: Seconds between two calls of `change`.
    period: float
    #: Seconds after which the answer to a move, two rows that change loads, is taken back; None: never.
    undone_after: float | None

    def start(self, homes: Indices, hubs: int) -> Floats:
        """The loads at first, one on average, of connections that begin at these hubs."""

    def move_ms(self, count: int) -> Floats | None:
        """For how long a move of each connection stops two hubs, in all; None: as usual."""

    def change(self, now: float) -> Changes | None:
        """What changes now by itself."""

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        """What the clients answer to a move, a second later; here in cores."""


class Still:
    """Every connection takes the same all the time. The base of the other workloads."""

    period = 3600.0
    undone_after: float | None = None

    def __init__(self, random: Random) -> None:
        self.random = random

    def start(self, homes: Indices, hubs: int) -> Floats:
        return np.ones(len(homes))

    def move_ms(self, count: int) -> Floats | None:
        return None

    def change(self, now: float) -> Changes | None:
        return None

    def moved(self, row: int, source: int, target: int, connections: Connections) -> Changes | None:
        return None


class Redrawn(Still):
    """Independent loads from one distribution, each drawn again after exponential times.

    The first loads are scaled to their mean, whatever the sample was; later ones by the same factor.
    """

    period = 0.25
    #: Mean seconds between two draws of a connection.
    lasting = 300.0

    def draw(self, count: int) -> Floats:
        raise NotImplementedError

    def start(self, homes: Indices, hubs: int) -> Floats:
        self.count = len(homes)
        first = self.draw(self.count)
        self.scale = 1 / float(first.mean())
        return first * self.scale

    def change(self, now: float) -> Changes | None:
        number = self.random.poisson(self.count * self.period / self.lasting)
        rows = np.unique(self.random.integers(self.count, size=number))
        return rows, self.draw(len(rows)) * self.scale


class LogNormal(Redrawn):
    """Many light connections and a few heavy ones: a log-normal distribution, σ = 1.5."""

    def draw(self, count: int) -> Floats:
        return self.random.lognormal(0.0, 1.5, count)


class Pareto(Redrawn):
    """A heavier tail: a Pareto distribution with α = 1.5, whose variance is infinite."""

    def draw(self, count: int) -> Floats:
        return 1 + self.random.pareto(1.5, count)


class Heavy(LogNormal):
    """The log-normal workload, of connections that are hard to move: a move of each third one stops two hubs
    for 20 to 500 ms in all, whatever the connection takes."""

    def move_ms(self, count: int) -> Floats | None:
        heavy = self.random.random(count) < 1 / 3
        return np.where(heavy, np.exp(self.random.uniform(np.log(20), np.log(500), count)), 0.6)


class Fast(LogNormal):
    """The log-normal workload, drawn again every three seconds: each measurement is out of date at once."""

    lasting = 3.0


class Bursty(Redrawn):
    """Connections that work for five seconds, ten times as much as on average, and rest for 45."""

    on, off = 5.0, 45.0

    def start(self, homes: Indices, hubs: int) -> Floats:
        self.count = len(homes)
        self.working = self.random.random(self.count) < self.on / (self.on + self.off)
        return self._loads(np.arange(self.count))

    def _loads(self, rows: Indices) -> Floats:
        return np.where(self.working[rows], (self.on + self.off) / self.on, 0.0)

    def change(self, now: float) -> Changes | None:
        mean = np.where(self.working, self.on, self.off)
        rows = np.flatnonzero(self.random.random(self.count) < -np.expm1(-self.period / mean))
        self.working[rows] ^= True
        return rows, self._loads(rows)


class Homed(LogNormal):
    """A log-normal load that stays, times a factor that those who began at one hub have in common."""

    period = 1.0

    def start(self, homes: Indices, hubs: int) -> Floats:
        self.homes, self.hubs = homes, hubs
        self.own = super().start(homes, hubs)
        return self.own * self.factors(0.0)[homes]

    def factors(self, now: float) -> Floats:
        """What the connections of each first hub take, relative to their own load."""
        raise NotImplementedError

    def change(self, now: float) -> Changes | None:
        return np.arange(len(self.homes)), self.own * self.factors(now)[self.homes]


class Step(Homed):
    """Every two minutes the clients of the next eighth of the hubs take 2.5 times as much, the rest less."""

    period = 120.0

    def factors(self, now: float) -> Floats:
        stronger = (np.arange(self.hubs) * 8 // max(8, self.hubs)) % 8 == int(now / self.period) % 8
        factors = np.where(stronger, 2.5, 1.0)
        relative: Floats = factors / factors.mean()
        return relative


class Sine(Homed):
    """The load of each hub's clients rises and falls by 60 % in three minutes, one hub after the other."""

    def factors(self, now: float) -> Floats:
        return 1 + 0.6 * np.sin(2 * np.pi * (now / 180 + np.arange(self.hubs) / self.hubs))


class FlipFlop(Homed):
    """The clients of the even hubs are heavy for 15 seconds, then those of the odd ones, and so on."""

    period = 15.0

    def factors(self, now: float) -> Floats:
        heavy = np.arange(self.hubs) % 2 == round(now / self.period) % 2
        factors = np.where(heavy, 1.5, 0.5)
        relative: Floats = factors / factors.mean()
        return relative


MakeWorkload = Callable[[Random], Workload]
