"""Where connections and keyed actors have been: for `actorrpc why`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["EACH", "KEPT", "PastMove", "PastMoves"]

#: Attempts to move that are kept in all, and of each connection: 500 bytes each.
KEPT = 16_384
EACH = 8


@dataclass(slots=True)
class PastMove:
    """An attempt to move something, and what came of it. ``at`` is UTC, ISO 8601; of attempts that came to
    nothing in the same way one after another, the last one's."""

    at: str
    source: int
    target: int
    #: As ``Entry`` has it.
    by: str
    reason: str
    #: ``moved`` or ``aborted``.
    outcome: str
    #: Why it was aborted.
    why: str = ""
    pause_ms: float | None = None
    #: Of the code that the target runs, if that is known.
    generation: int | None = None
    #: How many attempts in a row ended like this.
    times: int = 1

    def repeats(self, other: PastMove) -> bool:
        """Whether this is another attempt that came to nothing like an earlier one."""
        return (
            self.outcome == other.outcome == "aborted"
            and (self.source, self.target, self.by, self.why)
            == (other.source, other.target, other.by, other.why)
        )  # fmt: skip


class PastMoves:
    """The last attempts to move each of the connections that were to be moved last."""

    def __init__(self) -> None:
        #: By connection, those first of which nothing has been heard for longest.
        self._of: dict[str, deque[PastMove]] = {}
        #: What has been added since ``take_news``: of what repeats itself, each time.
        self._news: deque[tuple[str, PastMove]] = deque(maxlen=KEPT)
        self._count = 0

    def add(self, connection: str, past: PastMove) -> None:
        """An attempt has ended."""
        self._news.append((connection, past))
        known = self._of.pop(connection, None)
        if known is None:
            known = deque(maxlen=EACH)
        self._of[connection] = known
        if known and past.repeats(last := known[-1]):
            known[-1] = replace(past, times=past.times + last.times)
            return
        self._count += len(known) < EACH
        known.append(past)
        while self._count > KEPT:
            self._forget(next(iter(self._of)))

    def _forget(self, connection: str) -> None:
        self._count -= len(self._of.pop(connection))

    def of(self, connection: str) -> list[PastMove]:
        """Those of one, the last at the end."""
        return list(self._of.get(connection, ()))

    def rows(self, connection: str) -> list[dict[str, Any]]:
        """The form of ``actorrpc why --json``."""
        return [asdict(past) for past in self.of(connection)]

    def take_news(self) -> list[tuple[str, PastMove]]:
        """What has ended since this was last called, as far as it is kept."""
        news = list(self._news)
        self._news.clear()
        return news

    def all(self) -> Iterator[tuple[str, PastMove]]:
        """All that is kept, in the order in which ``add`` would have it again."""
        for connection, known in self._of.items():
            for past in known:
                yield connection, past

    def __repr__(self) -> str:
        return f"<PastMoves: {self._count} of {len(self._of)} connections>"
