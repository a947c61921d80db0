"""The demo's proof: what each member heard, against what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Tally", "check"]

#: A sender and the number of one of its lines; the lines of each sender are numbered from 1.
Line = tuple[str, int]


@dataclass(frozen=True)
class Tally:
    """What was heard, and what was wrong with it. Tallies add up."""

    seen: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0

    @property
    def flawless(self) -> bool:
        return not (self.lost or self.doubled or self.out_of_order)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.seen + other.seen,
            self.lost + other.lost,
            self.doubled + other.doubled,
            self.out_of_order + other.out_of_order,
        )

    def __str__(self) -> str:
        return (
            f"{self.seen:,} lines seen, {self.lost:,} lost, {self.doubled:,} doubled, "
            f"{self.out_of_order:,} out of order"
        )


def check(heard: Sequence[Line], said: Mapping[str, int], order: Iterable[Line]) -> Tally:
    """Tally what one member heard of a room in which each of ``said`` said so many lines.

    ``order`` is the room as another member heard it: all must have heard the lines in one order, whoever
    said them.
    """
    times = Counter(heard)
    expected = {(nick, number) for nick, count in said.items() for number in range(1, count + 1)}
    return Tally(
        seen=len(heard),
        lost=len(expected - times.keys()),
        doubled=len(heard) - len(times),
        out_of_order=_late(heard) + _differences(heard, order),
    )


def _late(heard: Iterable[Line]) -> int:
    """Count lines that came after a later line of the same sender, repetitions aside."""
    last: dict[str, int] = {}
    late = 0
    for nick, number in dict.fromkeys(heard):
        late += number < last.get(nick, 0)
        last[nick] = max(number, last.get(nick, 0))
    return late


def _differences(heard: Iterable[Line], order: Iterable[Line]) -> int:
    """Count places at which two members differ, of the lines that both have heard, repetitions aside."""
    mine, theirs = dict.fromkeys(heard), dict.fromkeys(order)
    pairs = zip(
        (line for line in mine if line in theirs), (line for line in theirs if line in mine), strict=True
    )
    return sum(a != b for a, b in pairs)
