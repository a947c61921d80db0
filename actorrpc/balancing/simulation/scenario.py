"""What is simulated: the numbers that a run is made of, and the workloads that have names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actorrpc.balancing.simulation import adversaries, workloads
from actorrpc.balancing.simulation.connections import Connections
from actorrpc.balancing.simulation.workloads import Floats, Indices, Workload
from actorrpc.config import Config

__all__ = ["WORKLOADS", "Scenario"]

#: By the names that `--load` takes.
WORKLOADS: dict[str, workloads.MakeWorkload] = {
    "equal": workloads.Still,
    "lognormal": workloads.LogNormal,
    "pareto": workloads.Pareto,
    "heavy": workloads.Heavy,
    "step": workloads.Step,
    "sine": workloads.Sine,
    "bursty": workloads.Bursty,
    "flipflop": workloads.FlipFlop,
    "fast": workloads.Fast,
    "adversary": adversaries.Adversary,
    "follower": adversaries.Follower,
    "herd": adversaries.Herd,
}

#: A connection's turns are serial: it cannot take more than a core, and never takes all of it.
MOST = 0.95


@dataclass(frozen=True)
class Scenario:
    """One run, without its policy. Equal scenarios give the same figures for the same policy."""

    #: The name of its workload.
    load: str = "lognormal"
    hubs: int = 8
    connections: int = 512
    minutes: float = 10.0
    #: What all connections take together, over all cores.
    utilisation: float = 0.6
    seed: int = 1
    #: The relative error (σ) of all that is reported, and how many seconds late it arrives.
    noise: float = 0.05
    stale: float = 0.1
    #: The share of moves that is aborted.
    abort: float = 0.01
    #: Hubs that are lost in a minute. Each comes back half a minute later, empty.
    churn: float = 0.0
    #: ``hash``: as the kernel's SO_REUSEPORT places them; ``one``: all heavy ones begin on hub 0.
    placement: str = "hash"
    #: Seconds that a move may stop two hubs for, in all, before its source refuses it; 0: no limit.
    max_move_time: float = Config.max_move_time

    @property
    def seconds(self) -> float:
        return self.minutes * 60

    @property
    def unit(self) -> float:
        """The load of a mean connection, in cores."""
        return self.utilisation * self.hubs / self.connections

    def random(self, what: str) -> np.random.Generator:
        """Random numbers for one purpose: what a policy does with some of them changes no others."""
        return np.random.default_rng([self.seed, *what.encode()])

    def make_workload(self) -> Workload:
        return WORKLOADS[self.load](self.random("load"))

    def place(self, workload: Workload) -> Connections:
        """The connections as they are at first."""
        random = self.random("place")
        homes = random.integers(self.hubs, size=self.connections)
        ages = random.exponential(600.0, self.connections)
        first = self.in_cores(workload.start(homes, self.hubs))
        if self.placement == "one":
            homes = _heavy_on_one(homes, first, self.hubs)
        connections = Connections(homes, self.hubs, first, ages)
        if (move_ms := workload.move_ms(self.connections)) is not None:
            connections.move_ms[:] = move_ms
        return connections

    def too_long(self, move_ms: float) -> str:
        """Why a move is refused that stops two hubs for so long in all; "" if it is made."""
        if not self.max_move_time or move_ms <= self.max_move_time * 1e3:
            return ""
        limit = self.max_move_time * 1e3
        return f"a move would stop its two hubs for {move_ms:.0f} ms in all, over {limit:.0f} ms"

    def in_cores(self, relative: Floats) -> Floats:
        return np.minimum(relative * self.unit, MOST)


def _heavy_on_one(homes: Indices, first: Floats, hubs: int) -> Indices:
    heavy = np.argsort(-first, kind="stable")[: max(1, len(first) // (4 * hubs))]
    homes = homes.copy()
    homes[heavy] = 0
    return homes
