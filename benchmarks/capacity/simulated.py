"""Clients on simulated hubs, and what a probe at each hub would wait."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from actorrpc.balancing.policies import make_policy
from actorrpc.balancing.simulation.measures import Measures
from actorrpc.balancing.simulation.queueing import SERVICE
from actorrpc.balancing.simulation.scenario import Scenario
from actorrpc.balancing.simulation.simulation import Simulation

__all__ = ["Probes", "Setting", "measure", "waits"]

Floats = NDArray[np.float64]

#: Seconds that nothing is taken of, so that what placement began with is not what is measured.
_SETTLE = 60.0
#: Numbers of jobs are counted in classes of one per cent, from a ten-thousandth up.
_LEAST, _CLASS, _CLASSES = 1e-4, math.log(1.01), 2800


class Setting(NamedTuple):
    """What all measurements have in common."""

    hubs: int
    per_core: int
    minutes: float


def measure(setting: Setting, policy: str, clients: int, seed: int) -> float:
    """The p99 of the probe that waits longest, in milliseconds."""
    scenario = Scenario(
        hubs=setting.hubs,
        connections=clients,
        utilisation=clients / setting.per_core / setting.hubs,
        minutes=_SETTLE / 60 + setting.minutes,
        seed=seed,
    )
    simulation = Simulation(scenario, make_policy(policy))
    simulation.measures = probes = Probes(setting.hubs, _SETTLE)
    simulation.run()
    return float(probes.p99().max()) * 1000


class Probes(Measures):
    """The jobs that a probe at each hub finds, which comes at random and at a steady rate."""

    def __init__(self, hubs: int, since: float) -> None:
        super().__init__()
        self._since = since
        self._seconds_with = np.zeros((hubs, _CLASSES))
        self._hubs = np.arange(hubs)
        #: The middle of each class.
        self._jobs = _LEAST * np.exp((np.arange(_CLASSES) + 0.5) * _CLASS)

    def interval(
        self, now: float, seconds: float, demand: Floats, serving: NDArray[np.bool_], jobs: Floats
    ) -> None:
        super().interval(now, seconds, demand, serving, jobs)
        if now > self._since:
            classes = (np.log(np.maximum(jobs, _LEAST) / _LEAST) / _CLASS).astype(np.int64)
            self._seconds_with[self._hubs, np.minimum(classes, _CLASSES - 1)] += seconds

    def p99(self) -> Floats:
        """What 99 of 100 probes at each hub do not exceed, in seconds."""
        return waits(self._jobs, self._seconds_with, 0.01)


def waits(jobs: Floats, weights: Floats, share: float) -> Floats:
    """The wait that only such a share of the probes exceeds, of each row of weights.

    In an M/M/1 queue with x jobs on average, a job that comes waits longer than t with the probability
    x / (1 + x) · exp(-t / (1 + x) / SERVICE) (L. Kleinrock, Queueing Systems, volume 1, 1975). Each weight is
    the time with the jobs of its column.
    """
    busy, mean = jobs / (1 + jobs), SERVICE * (1 + jobs)
    weights = weights / weights.sum(axis=1, keepdims=True)
    low = np.zeros(len(weights))
    high = np.full(len(weights), float(mean[-1]) * 20)
    for _ in range(80):
        middle = (low + high) / 2
        exceeded = (weights * busy * np.exp(-middle[:, None] / mean)).sum(axis=1)
        low, high = np.where(exceeded > share, middle, low), np.where(exceeded > share, high, middle)
    return high
