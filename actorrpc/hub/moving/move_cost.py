"""What a move costs its two hubs, told before it is made.

While a connection is frozen, and thawed, all others of its hub wait. For how long is estimated from what
travels. Each thing has a price; ``Pace`` learns by how much this machine, and this app's code, are off the
prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Contents", "Cost", "MoveCosts", "Pace", "price", "too_long"]


@dataclass(slots=True)
class Contents:
    """What of a connection travels, counted. Bytes are all but those of the actors' states."""

    #: Open ones, and those whose on_call_end waits.
    calls: int = 0
    #: Heads of calls, those that several calls share once; the fields in them.
    heads: int = 0
    fields: int = 0
    #: Entries of calls' contexts, and fields of response metadata that has not gone out.
    entries: int = 0
    metadata: int = 0
    #: Messages that calls hold, and turns that wait.
    held: int = 0
    turns: int = 0
    #: Services, an actor for each identity.
    cells: int = 0
    subscriptions: int = 0
    bytes: int = 0
    state_bytes: int = 0
    #: Seconds that it took to serialize the states, when that was last done to weigh them.
    weighing: float = 0.0


class Cost(NamedTuple):
    """Seconds of the source, and of the target."""

    freeze: float
    thaw: float

    @property
    def total(self) -> float:
        return self.freeze + self.thaw


#: What each takes: microseconds of CPU at the source (freeze, release) and at the target (thaw, serve). From
#: `python -m benchmarks.move_cost`, on a core of a virtual machine and Python 3.11.
_PRICES: dict[str, tuple[float, float]] = {
    "calls": (5.5, 5.0),
    "heads": (0.5, 3.0),
    "fields": (0.06, 0.2),
    "entries": (1.0, 0.9),
    "metadata": (0.4, 0.8),
    "held": (0.1, 0.15),
    "turns": (1.3, 0.7),
    "cells": (6.0, 5.0),
    "subscriptions": (6.0, 18.0),
    # A byte is copied three times, and put into memory that the process has not got yet. Of messages that
    # wait, each in a string of its own, it takes 4 ns, of what is in one piece already 1.
    "bytes": (0.002, 0.0006),
    "state_bytes": (0.0020, 0.0006),
}
#: The seconds that a state took to be serialized, beyond what its bytes take in one piece, are those of its
#: structure: it is serialized again, and parsed.
_COPYING = 1e-9
_STRUCTURE = (1.0, 2.0)
#: The move of an idle connection costs this, with cold caches (docs/design/handoff.md).
_LEAST = (300.0, 400.0)


def price(found: Contents) -> Cost:
    """What these contents cost by the prices alone."""
    freeze, thaw = _LEAST
    for name, (here, there) in _PRICES.items():
        number = getattr(found, name)
        freeze += number * here
        thaw += number * there
    structure = max(0.0, found.weighing - found.state_bytes * _COPYING)
    return Cost(freeze / 1e6 + structure * _STRUCTURE[0], thaw / 1e6 + structure * _STRUCTURE[1])


def too_long(cost: Cost, limit: float) -> str:
    """Why a move of this cost is made only if a person asks for it; "" if a policy may, too.

    ``limit`` is that of --max-move-time, in seconds; 0: none.
    """
    if not limit or cost.total <= limit:
        return ""
    return f"a move would stop its two hubs for {cost.total * 1e3:.0f} ms in all, over {limit * 1e3:.0f} ms"


class Pace:
    """By how much the work takes longer, or less long, than the prices say.

    The sum of what moves took over the sum of their prices, so that heavy moves say more. Before there were
    any it is 1, which weighs as much as ``PATIENCE`` seconds of work; the last ``MEMORY`` seconds count. What
    one move says is cut to ``MOST`` times its price: an ``__init__`` of an app's may take what it likes.
    """

    PATIENCE, MEMORY, MOST = 0.02, 0.5, 4.0
    #: Moves of less say how cold the caches are.
    LEAST = 0.001

    def __init__(self) -> None:
        self._priced = self._took = self.PATIENCE

    def learn(self, priced: float, took: float) -> None:
        """A move for which the prices said so many seconds took so many."""
        if priced < self.LEAST:
            return
        self._priced += priced
        self._took += min(max(took, priced / self.MOST), priced * self.MOST)
        if self._priced > self.MEMORY:
            self._took *= self.MEMORY / self._priced
            self._priced = self.MEMORY

    @property
    def factor(self) -> float:
        return self._took / self._priced

    def __repr__(self) -> str:
        return f"<Pace {self.factor:.2f} times the prices>"


class MoveCosts:
    """What moves cost by the experience of one hub, which takes the others to be as fast as it is."""

    def __init__(self) -> None:
        self.freezing, self.thawing = Pace(), Pace()

    def of(self, found: Contents) -> Cost:
        """What it would cost to move a connection with these contents."""
        return self.by_pace(price(found))

    def by_pace(self, cost: Cost) -> Cost:
        return Cost(cost.freeze * self.freezing.factor, cost.thaw * self.thawing.factor)

    def __repr__(self) -> str:
        return f"<MoveCosts: {self.freezing!r} to freeze, {self.thawing!r} to thaw>"
