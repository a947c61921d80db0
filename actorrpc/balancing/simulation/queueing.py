"""How many jobs wait at a hub whose load changes: the model of all delays.

A hub is a server of one core. Jobs (turns) come at random, at a rate λ(t), and take an exponential time,
1/µ on average. In a steady state that is an M/M/1 queue, with ρ/(1 - ρ) jobs in it on average, where ρ = λ/µ.
Loads here are seldom in a steady state and can exceed the core, so the mean number x of jobs in the hub
follows

    dx/dt = λ(t) - µ x / (1 + x)

the fluid-flow approximation of K. L. Rider, "A Simple Approximation to the Average Queue Size in the
Time-Dependent M/M/1 Queue", Journal of the ACM 23 (1976), and W. Wang, D. Tipper and S. Banerjee, "A Simple
Approximation for Modeling Nonstationary Queues", IEEE INFOCOM 1996. It has the M/M/1's value where the load
stays, and grows by λ - µ where that is positive: a backlog over capacity. The share of time in which the hub
works is x / (1 + x). A job that comes finds x jobs (arrivals of a Poisson process see time averages), and so
waits x/µ on average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SERVICE", "drain"]

#: The mean time of a job on a core, in seconds: a turn of an ordinary handler.
SERVICE = 0.001

Floats = NDArray[np.float64]


def drain(jobs: Floats, arrived: Floats, seconds: float) -> Floats:
    """Return the jobs that are left after ``seconds``, in which ``arrived`` more came evenly.

    An implicit Euler step: its equation is quadratic in the new x, whose positive root is exact, however
    long the step, so that no job is lost or invented; what left is ``jobs + arrived`` less the result.
    """
    most = seconds / SERVICE
    total = jobs + arrived
    half = (1 + most - total) / 2
    root: Floats = np.sqrt(half * half + total)
    # Of the two forms of the root the one that does not subtract nearly equal numbers.
    return np.where(half > 0, total / (half + root), root - half)
