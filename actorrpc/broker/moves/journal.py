"""What was decided about moves, why, and what came of it: for `actorrpc moves` and `actorrpc status`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from itertools import count, islice
from typing import Any

from actorrpc.balancing.view import Move, Stay
from actorrpc.broker.moves.past_moves import PastMove, PastMoves
from actorrpc.pb import control_pb2
from actorrpc.percentile import percentile

__all__ = ["BY_HAND", "BY_OTHERS", "KEPT", "KEPT_PAUSES", "Entry", "Journal", "MoveStatistics"]

#: Entries that are kept.
KEPT = 2000

#: The pauses that the percentiles are taken of.
KEPT_PAUSES = 10_000

#: Who asked for a move that no policy did.
BY_OTHERS = "asked for"
#: Why such a move was asked for, if a person did.
BY_HAND = "by hand"

#: The outcome of a move that has none yet.
UNDER_WAY = "under way"

_FIGURES = re.compile(r"\d+(\.\d+)?")


@dataclass(slots=True)
class Entry:
    """One line of the journal. ``at`` is UTC, ISO 8601; of a decision that is repeated, its last time."""

    at: str
    #: ``move`` or ``stay``.
    kind: str
    #: The policy, ``--max-memory``, or ``asked for``.
    by: str
    #: The connection; of a decision not to move, what it is about ("" for everything).
    what: str
    source: int | None
    target: int | None
    #: Share of one core, as the policy saw it.
    load: float
    reason: str
    #: ``under way``, ``moved`` or ``aborted``; "" for a stay.
    outcome: str = ""
    #: Why it was aborted.
    why: str = ""
    pause_ms: float | None = None
    #: How often the same was decided in a row.
    times: int = 1


class Journal:
    """The last ``KEPT`` decisions. A decision that repeats an earlier one only adds to its count."""

    def __init__(self) -> None:
        #: Where each connection has been.
        self.past = PastMoves()
        #: What a person has asked for, and to which hub it is to move.
        self._by_hand: dict[str, int] = {}
        #: By number, in the order in which they were last heard of.
        self._entries: dict[int, Entry] = {}
        self._numbers = count()
        self._under_way: dict[str, Entry] = {}
        #: The numbers of decisions not to move, by policy, subject, and reason without its figures.
        self._stays: dict[tuple[str, str, str], int] = {}

    def begun(self, move: Move, by: str) -> None:
        """A policy's move has been asked for."""
        entry = Entry(
            _now(), "move", by, move.connection, move.source, move.target, move.load, move.reason, UNDER_WAY
        )
        self._under_way[move.connection] = entry
        self._add(entry)

    def asked(self, connection: str, target: int) -> None:
        """A person has asked for a move."""
        self._by_hand[connection] = target

    def answered(self, connection: str, source: int | None, target: int, refused: str) -> None:
        """The answer to that has come, also if there was no handoff; ``refused``: and why not."""
        if self._by_hand.pop(connection, None) == target and refused and source is not None:
            entry = Entry(_now(), "move", BY_OTHERS, connection, source, target, 0.0, BY_HAND)
            self._settle(entry, refused, None)
            self._add(entry)

    def ended(
        self, move: Move, aborted: str, pause_ms: float, cause: str = "", generation: int | None = None
    ) -> None:
        """A handoff has ended, whoever asked for it; ``aborted`` says why it failed, "" if it did not.

        ``cause`` is why it has begun if no policy and no person asked for it, and ``generation`` that of the
        code which the target runs. What goes to another process of its hub is kept in ``past`` alone.
        """
        entry = self._under_way.get(move.connection)
        if entry is None or (entry.source, entry.target) != (move.source, move.target):
            if self._by_hand.get(move.connection) == move.target:
                del self._by_hand[move.connection]
                cause = BY_HAND
            entry = Entry(_now(), "move", BY_OTHERS, move.connection, move.source, move.target, 0.0, cause)
            if move.source != move.target:
                self._add(entry)
        self._settle(entry, aborted, None if aborted else round(pause_ms, 3), generation)

    def settled(self, move: Move, aborted: str) -> None:
        """The answer to a policy's move has come, also if there was no handoff."""
        entry = self._under_way.pop(move.connection, None)
        if entry is not None and entry.outcome == UNDER_WAY:
            self._settle(entry, aborted, None)

    def _settle(
        self, entry: Entry, aborted: str, pause_ms: float | None, generation: int | None = None
    ) -> None:
        entry.outcome, entry.why, entry.pause_ms = "aborted" if aborted else "moved", aborted, pause_ms
        if entry.source is None or entry.target is None:
            return
        past = PastMove(_now(), entry.source, entry.target, entry.by, entry.reason, entry.outcome)
        past.why, past.pause_ms, past.generation = aborted, pause_ms, generation
        self.past.add(entry.what, past)

    def stayed(self, stay: Stay, by: str) -> None:
        """A policy has decided not to move something."""
        key = by, stay.what, _FIGURES.sub("#", stay.reason)
        number = self._stays.get(key)
        if number is None:
            entry = Entry(_now(), "stay", by, stay.what, None, None, 0.0, stay.reason)
        else:
            entry = self._entries.pop(number)
            entry.at, entry.reason, entry.times = _now(), stay.reason, entry.times + 1
        self._stays[key] = self._add(entry)

    def why_stays(self, subjects: Collection[str], since: str) -> str:
        """What was last decided about any of these not to be moved, if that was after ``since``; "" if
        nothing was. A subject is as in ``Stay``."""
        for entry in reversed(self._entries.values()):
            if entry.at < since:
                break
            if entry.kind == "stay" and entry.what in subjects:
                return ": ".join(filter(None, (entry.what, entry.reason)))
        return ""

    def rows(self, limit: int) -> list[dict[str, Any]]:
        """The form of ``actorrpc moves --json``: the ``limit`` entries that were last heard of, in order."""
        entries = self._entries.values()
        return [asdict(entry) for entry in islice(entries, max(len(entries) - limit, 0), None)]

    def _add(self, entry: Entry) -> int:
        number = next(self._numbers)
        self._entries[number] = entry
        if len(self._entries) > KEPT:
            self._forget(next(iter(self._entries)))
        return number

    def _forget(self, number: int) -> None:
        """Remove an entry, to make room for another."""
        entry = self._entries.pop(number)
        if self._under_way.get(entry.what) is entry:
            del self._under_way[entry.what]
        key = entry.by, entry.what, _FIGURES.sub("#", entry.reason)
        if self._stays.get(key) == number:
            del self._stays[key]

    def __repr__(self) -> str:
        return f"<Journal of {len(self._entries)} decisions, {len(self._under_way)} moves under way>"


class MoveStatistics:
    """Counts of moves, whoever asked for them, and how long they made their connections wait."""

    def __init__(self) -> None:
        self.done = 0
        self.aborted = 0
        self._pauses: deque[float] = deque(maxlen=KEPT_PAUSES)

    def record(self, moved: control_pb2.Moved) -> None:
        """A handoff has ended."""
        if moved.aborted:
            self.aborted += 1
        else:
            self.done += 1
            self._pauses.append(moved.pause_ms)

    def restore(self, done: int, aborted: int) -> None:
        """Go on from what a broker before this one has counted."""
        self.done, self.aborted = done, aborted

    def summary(self) -> dict[str, float]:
        """The form of ``actorrpc status --json``."""
        pauses = sorted(self._pauses) or [0.0]
        return {
            "done": self.done,
            "aborted": self.aborted,
            "pause_ms_p50": round(percentile(pauses, 50), 3),
            "pause_ms_p99": round(percentile(pauses, 99), 3),
        }

    def __repr__(self) -> str:
        return f"<MoveStatistics {self.done} done, {self.aborted} aborted>"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
