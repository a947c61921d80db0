"""Calls to keyed actors as their clients saw them, and ``check``: whether one actor at a time can have
answered them so.

Each activation has a random name, which its replies carry, with the number of the turn. So the order in
which turns ran is known from the replies, and has only to be compared with time: none is searched for.

An activation existed when its first reply had come, and still when the last call began that it answered.
Between these two no other of its key may have answered a call as a whole, and two such spans of a key do not
overlap (Gibbons and Korach, "Testing shared memories", 1997, have it that this is all: they call them zones).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

__all__ = ["Operation", "check"]


@dataclass(slots=True, frozen=True)
class Operation:
    """One call. Times are of the machine's monotonic clock. ``failed``: the status with which it ended, if
    not OK: then it may have run, or not."""

    key: str
    began: float
    ended: float
    activation: bytes = b""
    number: int = 0
    failed: str = ""


@dataclass(slots=True)
class _Span:
    """From the end of an activation's first reply to the beginning of the last call that it answered; the
    other way round where all were made at once."""

    activation: bytes
    seen: float
    still: float


def check(history: Iterable[Operation]) -> list[str]:
    """Everything that cannot have been."""
    keys: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        keys[operation.key].append(operation)
    return [f"{key}: {wrong}" for key, operations in keys.items() for wrong in _check_key(operations)]


def _check_key(operations: list[Operation]) -> Iterator[str]:
    activations: defaultdict[bytes, list[Operation]] = defaultdict(list)
    for operation in operations:
        if not operation.failed:
            activations[operation.activation].append(operation)
    for answered in activations.values():
        yield from _repeated(answered)
        yield from _reordered(answered)
    yield from _unaccounted(activations, sum(bool(each.failed) for each in operations))
    yield from _together([_span(name, answered) for name, answered in activations.items()])


def _repeated(answered: list[Operation]) -> Iterator[str]:
    """A number is handed out once."""
    seen = set()
    for each in answered:
        if each.number in seen:
            yield f"turn {_told(each)} twice"
        seen.add(each.number)


def _reordered(answered: list[Operation]) -> Iterator[str]:
    """What began after another's end has a higher number."""
    ended = iter(sorted(answered, key=attrgetter("ended")))
    last = next(ended, None)
    highest: Operation | None = None
    for each in sorted(answered, key=attrgetter("began")):
        while last is not None and last.ended < each.began:
            if highest is None or last.number > highest.number:
                highest = last
            last = next(ended, None)
        if highest is not None and highest.number > each.number:
            yield f"turn {_told(highest)} had ended before the call of turn {_told(each)} began"


def _unaccounted(activations: dict[bytes, list[Operation]], failed: int) -> Iterator[str]:
    """A turn that nobody heard of was that of a call that failed."""
    ran = sum(max(each.number for each in answered) for answered in activations.values())
    heard = sum(map(len, activations.values()))
    if ran - heard > failed:
        yield f"{ran} turns have run of {heard} calls that were answered and {failed} that failed"


def _span(activation: bytes, answered: list[Operation]) -> _Span:
    return _Span(activation, min(each.ended for each in answered), max(each.began for each in answered))


def _together(spans: list[_Span]) -> Iterator[str]:
    """There is one activation at a time."""
    lasting = sorted((each for each in spans if each.seen < each.still), key=attrgetter("seen"))
    for before, after in pairwise(lasting):
        if after.seen < before.still:
            yield f"{_apart(after, before)}, which then answered a call that began later still"
    seen = [each.seen for each in lasting]
    for brief in spans:
        if brief.seen < brief.still or not (at := bisect_left(seen, brief.still)):
            continue
        around = lasting[at - 1]
        if brief.seen < around.still:
            yield f"{_apart(brief, around)} in its midst"


def _apart(one: _Span, other: _Span) -> str:
    name, others = one.activation.hex(), other.activation.hex()
    return f"{name} answered between {other.seen:.6f} and {other.still:.6f} of {others}"


def _told(operation: Operation) -> str:
    return (
        f"{operation.number} of {operation.activation.hex()}, {operation.began:.6f} to {operation.ended:.6f},"
    )
