"""What a balancing policy is given, and what it answers. Pure: no clock, no process, no socket.

The broker and `actorrpc simulate` run the same code: they show the policy what the hubs have reported, begin
the moves that it answers, and tell the history how each of them ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

__all__ = ["ConnectionLoad", "Explains", "History", "HubLoad", "Move", "Past", "Policy", "Stay", "View"]

#: How many ended moves are remembered.
KEPT = 10_000


@dataclass(frozen=True, slots=True)
class ConnectionLoad:
    """One connection, as its hub reports it. Loads are shares of one core, times are seconds."""

    id: str
    #: The averages over about ten seconds, and over about one.
    load: float
    recent: float
    state_bytes: int = 0
    freeze_ms: float = 0.0
    #: Since it was accepted.
    age: float = 0.0
    #: Why no policy can move it now; "" if one can.
    why: str = ""
    #: The topic that it has most to do with; "" for none.
    group: str = ""
    #: For how many milliseconds a move would stop its source and its target, in all; 0: not known yet.
    move_ms: float = 0.0
    #: It cannot move because ``move_ms`` is more than a policy's move may take (``--max-move-time``).
    too_heavy: bool = False


@dataclass(frozen=True, slots=True)
class HubLoad:
    """One hub, as it reports itself."""

    hub: int
    #: The share of the last report's interval in which its loop was busy.
    busy: float
    connections: int
    #: The heaviest first, and a few of the others.
    heaviest: Sequence[ConnectionLoad] = ()
    others: Sequence[ConnectionLoad] = ()
    #: The 99th percentile of the delay of its loop.
    lag_ms: float = 0.0
    #: Connections that it may still take; None: no limit.
    room: int | None = None
    #: Whether it serves, and takes connections.
    serving: bool = True
    #: Seconds since it reported this.
    stale: float = 0.0
    #: Messages a second in each group.
    groups: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Move:
    """A connection to move, and why, in words for `actorrpc moves`."""

    connection: str
    source: int
    target: int
    reason: str
    #: What the connection takes, as the policy saw it, in cores.
    load: float = 0.0


@dataclass(frozen=True, slots=True)
class Stay:
    """A decision not to move something: a connection, a hub, or "" for all."""

    what: str
    reason: str


@dataclass(slots=True)
class Past:
    """A move that was begun, and how it ended."""

    move: Move
    began: float
    #: None while it is under way.
    ended: float | None = None
    #: Why it did not come about; "" if it did.
    aborted: str = ""
    #: Whether that was due to the connection and says nothing of the two hubs: its client had gone, for one.
    of_connection: bool = False


class History:
    """What has come of earlier decisions. Its owner keeps it up to date; policies read it. Times are seconds.

    The owner calls ``begun`` for each move that it asks a hub for, before the next plan; ``ended`` once for
    each of these, whatever became of it; and ``heard`` for moves that others asked for. It does none of this
    while a plan is made.
    """

    def __init__(self) -> None:
        #: Moves under way, by connection: until they end, these may not be moved again.
        self.in_flight: dict[str, Past] = {}
        #: Moves that ended, the last at the end.
        self.past: deque[Past] = deque(maxlen=KEPT)
        #: The last ended move of each connection.
        self.last: dict[str, Past] = {}
        #: How many have ended since the beginning.
        self.count = 0

    def begun(self, move: Move, now: float) -> None:
        """The broker has asked for a move, because a policy or a user wants it."""
        self.in_flight[move.connection] = Past(move, now)

    def ended(self, connection: str, now: float, aborted: str = "", of_connection: bool = False) -> None:
        """A move has ended; ``aborted`` says why it did not come about, and ``of_connection`` as ``Past``."""
        past = self.in_flight.pop(connection, None)
        if past is not None:
            past.ended, past.aborted, past.of_connection = now, aborted, of_connection
            self.heard(past)

    def heard(self, past: Past) -> None:
        """A move has ended that was not ``begun`` here: a user had asked for it."""
        if len(self.past) == KEPT and self.last.get(oldest := self.past[0].move.connection) is self.past[0]:
            del self.last[oldest]
        self.past.append(past)
        self.last[past.move.connection] = past
        self.count += 1

    def since(self, count: int) -> list[Past]:
        """The moves that ended after the first ``count``, the oldest first, as far as they are remembered."""
        ended = list(self.past)
        return ended[max(0, len(ended) - (self.count - count)) :] if self.count > count else []


@dataclass(frozen=True, slots=True)
class View:
    """What a policy decides by. ``now`` is a clock that only goes forward, in seconds."""

    now: float
    loads: Mapping[int, HubLoad]
    history: History


class Policy(Protocol):
    """What `--policy package.module:Class` names. One object serves for the life of a broker.

    It may remember what earlier views showed it, but must decide by nothing else.
    """

    def plan(self, view: View) -> Iterable[Move | Stay]:
        """Decide. Called a few times a second, in a thread of its own: use nothing but the view.

        It returns the moves that should begin now. The owner may leave some out, and then they are not in the
        history; a policy that still wants them proposes them again.
        """


@runtime_checkable
class Explains(Protocol):
    """A policy that can also say of a single connection why it stays where it is; it need not."""

    def why_stays(self, view: View, hub: int, connection: ConnectionLoad) -> str:
        """Say so in words for `actorrpc why`, by what the last plan has shown; decide nothing, and change
        nothing. ``hub`` has the connection, which can move. Called as ``plan`` is, and never beside it."""
