"""The numbers of `steady`, and what a single connection's move is worth by them."""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.balancing.policies.rounding import TOLERANCE
from actorrpc.balancing.view import ConnectionLoad

__all__ = ["Parameters", "pays", "stops", "weight"]

#: Seconds for which a connection must have existed before its long average is worth anything.
FULL = 10.0
#: The share of the larger average by which the two may differ by chance.
SWING = 0.5


@dataclass(frozen=True)
class Parameters:
    """The policy's own numbers. Loads are shares of a core, times are seconds."""

    #: Busy shares are smoothed over so long: long compared with a report, short for a client that waits.
    smoothing: float = 1.0
    #: A hub begins to give at so much more than the mean, and stops at this part of it.
    start: float = 0.07
    stop: float = 0.3
    #: An excess below this delays nobody, however idle the other hubs are.
    least_excess: float = 0.02
    #: How long it rests once moves have made things worse; doubled each time they do so again.
    rest: float = 30.0
    longest_rest: float = 600.0
    #: How long a connection stays where it is after its move. Its two hubs rest until their reports show what
    #: the move has done: no shorter than a report may be old (``eligible.STALE``).
    pause: float = 60.0
    hub_pause: float = 2.0
    #: For how long a connection does not return to the hub that it left last.
    no_return: float = 300.0
    #: After an aborted move nothing goes the same way; doubled with each abort in a row.
    backoff: float = 5.0
    longest_backoff: float = 300.0
    #: The part of a gap that a probe takes: even if three times as much comes after it, that is half of the
    #: gap, and does no harm.
    probe: float = 0.125
    #: A hub at ``full`` beside one at ``idle`` is relieved at once, without probes: its clients wait already.
    full: float = 0.9
    idle: float = 0.25
    #: Moves a second, for each hub and at least.
    budget: float = 0.5
    least_budget: float = 8.0
    #: CPU that a move costs both hubs and the broker together: 0.4 + 1.4 ms (docs/evidence/chaos.md). Added
    #: to it is what depends on the connection, as its hub estimates it (``ConnectionLoad.move_ms``); without
    #: an estimate, twice what the last freeze took, and the time to write, send and read the state, at so
    #: many bytes a second (docs/design/handoff.md).
    move_cost: float = 0.002
    state_rate: float = 200e6
    #: The CPU time that a move saves the source must be so many times what the move costs. It is counted for
    #: as long as the connection is expected to stay, and for ``horizon`` at most.
    gain: float = 5.0
    horizon: float = 60.0
    #: A connection is expected to stay for as long again as it has existed, and at least so long.
    least_stay: float = 5.0
    #: A connection above this fills a core, or nearly.
    elephant: float = 0.6


def weight(connection: ConnectionLoad) -> float:
    """What a connection is expected to take: its long average, or the short one if that is more reliable.

    It is for new connections, and where the two differ so much that the load must have changed.
    """
    load, recent = connection.load, connection.recent
    if connection.age < FULL or abs(load - recent) > SWING * max(load, recent) + TOLERANCE:
        return recent
    return load


def stops(connection: ConnectionLoad, parameters: Parameters) -> float:
    """For how many seconds, added up, a move would stop its two hubs."""
    if connection.move_ms:
        return connection.move_ms / 1000
    return 2 * connection.freeze_ms / 1000 + connection.state_bytes / parameters.state_rate


def pays(connection: ConnectionLoad, lasts: float, parameters: Parameters, stop: float | None = None) -> bool:
    """Whether the CPU that a move saves the source is worth its cost, and the time in which two hubs stop.

    ``stop`` replaces this time, in seconds, if given.
    """
    stay = min(max(connection.age, parameters.least_stay), parameters.horizon)
    cost = parameters.move_cost + (stops(connection, parameters) if stop is None else stop)
    return weight(connection) * stay * min(1.0, lasts) > parameters.gain * cost + TOLERANCE
