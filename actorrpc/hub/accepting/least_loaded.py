"""Which hub gets a new connection: what is known of each, and the choice. Pure: no clock, no socket."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum, inf

__all__ = ["BAND", "DECAY", "Estimate", "choose"]

#: Hubs whose load differs by less than this share of a core count as equally loaded: then the number of
#: connections decides. Merely to accept a burst of connections makes a hub look this much busier.
BAND = 0.1

#: What a connection is assumed to add to a hub's load at most, as long as it has not been measured.
MOST = 0.02

#: A hub's load is an exponential average: a twentieth of what is measured each quarter of a second, and the
#: rest of what it was. Its time constant is five seconds.
DECAY = 0.95


@dataclass(slots=True)
class Estimate:
    """One hub: what it has reported, and what it was given since. Until it reports, it counts as full."""

    connections: int = 0
    #: Share of a core, smoothed.
    busy: float = 0.0
    #: Connections that it said it would take; None: no limit.
    room: int | None = 0
    #: Connections that it has been given since its report; and those that are on their way to it.
    given: int = 0
    under_way: int = 0
    #: Connections given lately; each counts for the share of its load that ``busy`` does not show yet.
    fresh: float = 0.0
    #: It does not answer.
    silent: bool = False
    #: It takes no more, and ends when what it has does.
    stopping: bool = False
    #: It has more memory than it should, and gets one only where no other can be given it.
    over_memory: bool = False

    def hear(self, connections: int, busy: float, room: int | None) -> None:
        """Take in the hub's report. It includes all that the hub has taken, and not what is on its way."""
        self.connections, self.busy, self.room = connections, busy, room
        self.given = 0

    def tick(self) -> None:
        """A quarter of a second has passed."""
        self.fresh *= DECAY

    @property
    def places(self) -> float:
        """How many more it may be given; infinity if it has no limit."""
        if self.silent:
            return 0
        return inf if self.room is None else max(self.room - self.given - self.under_way, 0)

    @property
    def open(self) -> bool:
        """Whether it may be given one more."""
        return not self.silent and (self.room is None or self.room > self.given + self.under_way)

    @property
    def count(self) -> int:
        """The connections that it has, or is about to have."""
        return self.connections + self.given + self.under_way

    def load(self, each: float) -> float:
        """How busy it will be, if each connection adds ``each`` to its load."""
        return self.busy + each * self.fresh


def choose(hubs: Mapping[int, Estimate], excluded: Iterable[int] = ()) -> int | None:
    """Return the least loaded hub that may be given a connection; None if there is none.

    Hubs that have too much memory come last.

    Among those that are about equally loaded it is the one with the fewest connections, then with the lowest
    number. Connections given since a hub's load was measured count as average ones: so a burst spreads,
    whichever hub had the lowest load before it.
    """
    barred = set(excluded)
    fit = {hub: estimate for hub, estimate in hubs.items() if estimate.open and hub not in barred}
    if not fit:
        return None
    fit = {hub: estimate for hub, estimate in fit.items() if not estimate.over_memory} or fit
    connections = fsum(estimate.count for estimate in hubs.values())
    each = min(fsum(estimate.busy for estimate in hubs.values()) / max(connections, 1), MOST)
    loads = {hub: estimate.load(each) for hub, estimate in fit.items()}
    bound = min(loads.values()) + BAND
    return min((hub for hub in fit if loads[hub] <= bound), key=lambda hub: (fit[hub].count, hub))
