"""The numbers of `steady`, and what a single connection's move is worth by them."""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.broker.balancer import ConnectionLoad

__all__ = ["Terms", "pays", "stable", "weight"]

#: Seconds that the long average of a connection's load needs to be full.
FULL = 10.0


@dataclass(frozen=True)
class Terms:
    """The policy's own numbers. Loads are shares of a core, times are seconds."""

    #: Over which a hub's busy share is smoothed: long against one report, short against a client's patience.
    smoothing: float = 2.0
    #: A hub begins to give at so much more than the mean, and stops at this part of it.
    start: float = 0.07
    stop: float = 0.3
    #: Less than so much excess delays nobody, however little the others do.
    least_excess: float = 0.02
    #: A gap must have lasted in such a share over ten seconds.
    least_lasting: float = 0.4
    #: What moves bring, over what was promised: outside they do not do what they should.
    working: tuple[float, float] = (0.45, 1.7)
    #: After moves that brought nothing; doubled each time they do so again.
    rest: float = 30.0
    longest_rest: float = 600.0
    #: How long a connection, and a hub after its last move, is left in peace.
    pause: float = 60.0
    hub_pause: float = 1.0
    #: How long a connection does not return to the hub that it left last.
    no_return: float = 300.0
    #: After an aborted move nothing goes the same way; doubled with each abort in a row.
    backoff: float = 5.0
    longest_backoff: float = 300.0
    #: Moves a second, for each hub and at least.
    budget: float = 0.5
    least_budget: float = 8.0
    #: CPU that a move costs both hubs and the broker together: 0.4 + 1.4 ms (docs/chaos.md); and what the
    #: state's bytes cost to write, send and read, in bytes a second (docs/handoff.md).
    move_cost: float = 0.002
    state_rate: float = 200e6
    #: The CPU time taken off a hub must be so many times that of the move, within this time at most, or
    #: while the connection is expected to stay.
    gain: float = 5.0
    horizon: float = 60.0
    #: A connection is expected to stay for as long again as it has been here, and so long at least.
    least_stay: float = 5.0
    #: How much the averages over one and ten seconds may differ, of the larger one; lighter loads may swing.
    swing: float = 0.6
    light: float = 0.005
    #: From here on a connection fills a core, or nearly.
    elephant: float = 0.6
    #: What two hubs may differ by, of the mean, for a group to decide between them.
    tie: float = 0.03


def weight(connection: ConnectionLoad) -> float:
    """What a connection takes: over ten seconds, or over one while the long average is not full yet."""
    return connection.recent if connection.age < FULL else connection.load


def stable(connection: ConnectionLoad, terms: Terms) -> bool:
    """Whether it is likely to weigh the same in a while."""
    if connection.age < FULL:
        return True
    larger = max(connection.load, connection.recent)
    return larger <= terms.light or abs(connection.load - connection.recent) <= terms.swing * larger


def pays(connection: ConnectionLoad, lasts: float, terms: Terms) -> bool:
    """Whether the CPU taken off the hub is worth the CPU of the move."""
    stay = min(max(connection.age, terms.least_stay), terms.horizon)
    cost = terms.move_cost + 2 * connection.freeze_ms / 1000 + connection.state_bytes / terms.state_rate
    return weight(connection) * stay * min(1.0, lasts) > terms.gain * cost
