"""The numbers of `steady`, and what a single connection's move is worth by them."""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.balancing.policies.grain import GRAIN
from actorrpc.balancing.view import ConnectionLoad

__all__ = ["Terms", "pays", "stops", "weight"]

#: Seconds that the long average of a connection's load needs to be full.
FULL = 10.0
#: How much the two averages may differ by chance, of the larger one.
SWING = 0.5


@dataclass(frozen=True)
class Terms:
    """The policy's own numbers. Loads are shares of a core, times are seconds."""

    #: Over which a hub's busy share is smoothed: long against one report, short against a client's patience.
    smoothing: float = 1.0
    #: A hub begins to give at so much more than the mean, and stops at this part of it.
    start: float = 0.07
    stop: float = 0.3
    #: Less than so much excess delays nobody, however little the others do.
    least_excess: float = 0.02
    #: Such a share of a gap must be left after the three seconds that it takes to see and close it.
    least_lasting: float = 0.3
    #: After moves that brought nothing; doubled each time they do so again.
    rest: float = 30.0
    longest_rest: float = 600.0
    #: For so long after a move what hubs do may be an effect of it.
    effect: float = 5.0
    #: So long after the last one clients have calmed down; what hubs do then is what they do without moves.
    aftermath: float = 20.0
    #: How long a connection is left in peace after its move; and its hubs, so that it shows what the move did
    #: before another one.
    pause: float = 60.0
    hub_pause: float = 2.0
    #: How long a connection does not return to the hub that it left last.
    no_return: float = 300.0
    #: After an aborted move nothing goes the same way; doubled with each abort in a row.
    backoff: float = 5.0
    longest_backoff: float = 300.0
    #: So long after a move it shows what came of it: clients answer within a second, and levels are smoothed
    #: over another. And once more, for those that take longer.
    verdict: float = 2.0
    late_verdict: float = 8.0
    #: The part of a gap that a probe takes: should even three times as much come after it, that is half of
    #: the gap, and does no harm.
    probe: float = 0.125
    #: A hub whose last report is so many times its level has just got more to do, and is let be for a moment:
    #: a probe made now would keep it from giving for two seconds.
    rising: float = 1.3
    #: A hub at ``full`` beside one at ``idle`` is not probed, but relieved at once: its clients wait already.
    full: float = 0.9
    idle: float = 0.25
    #: Moves a second, for each hub and at least.
    budget: float = 0.5
    least_budget: float = 8.0
    #: CPU that a move costs both hubs and the broker together: 0.4 + 1.4 ms (docs/evidence/chaos.md).
    #: What depends on the connection comes on top, as its hub estimates it (``ConnectionLoad.move_ms``).
    #: Where that is not known yet it is what the last freeze took, twice, and what the state's bytes cost to
    #: write, send and read, in bytes a second (docs/design/handoff.md).
    move_cost: float = 0.002
    state_rate: float = 200e6
    #: The CPU time taken off a hub must be so many times that of the move, within this time at most, or
    #: while the connection is expected to stay.
    gain: float = 5.0
    horizon: float = 60.0
    #: A connection is expected to stay for as long again as it has been here, and so long at least.
    least_stay: float = 5.0
    #: From here on a connection fills a core, or nearly.
    elephant: float = 0.6
    #: What two hubs may differ by, of the mean, for a group to decide between them.
    tie: float = 0.03


def weight(connection: ConnectionLoad) -> float:
    """What a connection is expected to take: its long average, or the short one where it knows better.

    It does while the long one is not full yet, and where the two differ so much that the load has changed.
    """
    load, recent = connection.load, connection.recent
    if connection.age < FULL or abs(load - recent) > SWING * max(load, recent) + GRAIN:
        return recent
    return load


def stops(connection: ConnectionLoad, terms: Terms) -> float:
    """For how many seconds a move would stop its two hubs, in all."""
    if connection.move_ms:
        return connection.move_ms / 1000
    return 2 * connection.freeze_ms / 1000 + connection.state_bytes / terms.state_rate


def pays(connection: ConnectionLoad, lasts: float, terms: Terms, stop: float | None = None) -> bool:
    """Whether the CPU taken off the hub is worth the CPU of the move, in which both hubs stand still.

    ``stop`` is for how many seconds, where it is not as long as is known of the connection.
    """
    stay = min(max(connection.age, terms.least_stay), terms.horizon)
    cost = terms.move_cost + (stops(connection, terms) if stop is None else stop)
    return weight(connection) * stay * min(1.0, lasts) > terms.gain * cost + GRAIN
