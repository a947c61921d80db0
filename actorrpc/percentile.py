"""``percentile``: by the nearest rank, which is a value that was really measured."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["percentile"]


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest of the values that ``percent`` per cent of them do not exceed.

    Raises IndexError if there are none.
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
