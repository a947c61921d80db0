"""Skewed clients, the same for each policy: what each of them asks for, and where it was accepted."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

__all__ = ["Client", "population"]

#: Of the log-normal distribution of what they ask for, as `actorrpc simulate` has it.
SIGMA = 1.5


class Client(NamedTuple):
    #: The share of a core that it asks for.
    load: float
    #: The hub to which the kernel's hash has put it.
    hub: int


def population(seed: int, count: int, hubs: int, per_core: int) -> list[Client]:
    """Draw clients, of which ``per_core`` would fill a core.

    Fewer of one seed are the first of more, but for a factor: by it they ask for as much on average, whatever
    the sample, so that their load grows with their number and with nothing else.
    """
    random = Random(seed)
    drawn = [(random.lognormvariate(0.0, SIGMA), random.randrange(hubs)) for _ in range(count)]
    scale = count / per_core / sum(weight for weight, _ in drawn)
    return [Client(weight * scale, hub) for weight, hub in drawn]
