"""Which connections leave a hub that has more memory than ``--max-memory``. Pure: no clock, no process.

States can be moved, and what they took be freed; much else in a process cannot. So no more is moved than the
hub has too much, and then its reports have to show that it helped: where not, the next try comes later.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from actorrpc.balancing.eligible import STALE, takes
from actorrpc.balancing.view import HubLoad, Move
from actorrpc.pb.control_pb2 import Load

__all__ = ["CONNECTION", "LOW", "MOVES", "Relief"]

log = logging.getLogger("actorrpc.broker")

#: What a hub is to have in the end, as a share of the limit, and what no other is to come to have by it.
LOW = 0.9
#: Bytes that a connection takes beside its states.
CONNECTION = 40 * 1024
#: A state takes as many times its size where it is thawed, for all that is known.
GROWTH = 2
#: Moves from one hub that are begun in one plan, of which there are two a second.
MOVES = 4
#: Seconds after which reports show what has come, and what has gone: hubs give freed memory back every five.
SETTLED = 10.0
#: It has helped if the hub's memory has fallen by this share of what was moved. If not, the next try comes
#: after twice the time, but no later than that.
HELPED, LONGEST = 0.25, 640.0


@dataclass(slots=True)
class _Round:
    """What is moved away from one hub before it is seen whether that has helped."""

    #: What the hub had when it began, and how much of that is to go.
    memory: int
    budget: float
    until: float
    patience: float
    moved: int = 0


class Relief:
    """Plans for hubs of which each should have no more than ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rounds: dict[int, _Round] = {}
        #: When something was sent to which hub, and how much: its reports may not show it yet.
        self._sent: list[tuple[float, int, int]] = []
        self._told = False

    def plan(self, now: float, hubs: Sequence[tuple[Load, HubLoad]], under_way: Container[str]) -> list[Move]:
        """Return the moves to begin now. ``hubs`` are the reports of all hubs, as they are and as policies
        see them, and ``under_way`` the connections that are being moved."""
        known = [(report, hub) for report, hub in hubs if hub.stale <= STALE and hub.serving]
        over = [(report, hub.hub) for report, hub in known if report.over_memory]
        if not over:
            self._rounds, self._told = {}, False
            return []
        self._rounds = {hub: self._rounds[hub] for _, hub in over if hub in self._rounds}
        self._sent = [each for each in self._sent if now - each[0] < SETTLED]
        spare = {hub.hub: self._spare(report, hub.hub) for report, hub in known if takes(hub)}
        moves = [move for report, hub in over for move in self._away(now, report, hub, spare, under_way)]
        self._tell([hub for _, hub in over], len(known), spare)
        return moves

    def _spare(self, report: Load, hub: int) -> float:
        """How much more a hub may get."""
        coming = sum(size for _, target, size in self._sent if target == hub)
        return LOW * self.limit - report.memory - coming

    def _away(
        self, now: float, report: Load, hub: int, spare: dict[int, float], under_way: Container[str]
    ) -> Iterator[Move]:
        """The next moves from one hub, those of the largest states first."""
        round = self._round(now, report, hub)
        reason = f"hub {hub} has {_mib(report.memory)}, over --max-memory of {_mib(self.limit)}"
        begun = 0
        for row in report.largest:
            size = row.state_bytes + CONNECTION
            if begun == MOVES or round.moved >= round.budget:
                return
            target = max(spare, key=spare.__getitem__, default=hub)
            needed = GROWTH * row.state_bytes + CONNECTION
            if row.why or row.id in under_way or spare.get(target, 0.0) < needed:
                continue
            begun += 1
            round.moved += size
            spare[target] -= needed
            self._sent.append((now, target, needed))
            yield Move(row.id, hub, target, reason, row.load)

    def _round(self, now: float, report: Load, hub: int) -> _Round:
        """What is under way for the hub; the next round, when the last has had its time."""
        last = self._rounds.get(hub)
        if last is not None and now < last.until:
            return last
        patience = SETTLED
        if last is not None and last.moved and last.memory - report.memory < HELPED * last.moved:
            patience = min(2 * last.patience, LONGEST)
            log.warning(
                "hub %d was to move states of %s away, and has %s, before that %s: the next try is in %.0f s",
                hub,
                _mib(last.moved),
                _mib(report.memory),
                _mib(last.memory),
                patience,
            )
        budget = report.memory - LOW * self.limit
        self._rounds[hub] = _Round(report.memory, budget, now + patience, patience)
        return self._rounds[hub]

    def _tell(self, over: list[int], hubs: int, spare: dict[int, float]) -> None:
        """Say once that nobody can take anything."""
        if self._told or any(room >= CONNECTION for room in spare.values()):
            return
        self._told = True
        if len(over) == hubs:
            log.warning("all hubs are over --max-memory: nothing moves, and each serves what comes to it")
        else:
            names = ", ".join(map(str, over))
            log.warning("hub %s is over --max-memory, and no other has room for what it has", names)

    def __repr__(self) -> str:
        return f"<Relief of {_mib(self.limit)}: {self._rounds}>"


def _mib(count: int) -> str:
    return f"{count / 2**20:.1f} MiB"
