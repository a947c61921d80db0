"""What benchmarks of several rounds share: an order that changes from round to round, and lines that say how
far they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import monotonic
from typing import TypeVar

__all__ = ["progress", "rotated"]

T = TypeVar("T")

_started = monotonic()


def rotated(items: Sequence[T], by: int) -> list[T]:
    """The same items, from another one on: so that a machine that grows slower does it to all of them."""
    by %= len(items)
    return [*items[by:], *items[:by]]


def progress(what: str) -> None:
    """A line on standard error, with the seconds since the program began."""
    print(f"{monotonic() - _started:4.0f} s  {what}", file=sys.stderr, flush=True)
