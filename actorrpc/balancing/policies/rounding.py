"""Differences of loads that are too small to decide anything.

The last bits of a sum of floats depend on the order, and from Python 3.12 on ``sum`` adds differently. For a
policy to decide the same everywhere, it adds with ``math.fsum`` or ``fmean``, tells loads apart only if they
differ by more than ``TOLERANCE``, and sorts by ``rounded``.
"""

from __future__ import annotations

__all__ = ["TOLERANCE", "rounded"]

#: Cores: a million times the error of a sum, and a millionth of the lightest load that a hub names.
TOLERANCE = 1e-9
_DIGITS = 9


def rounded(load: float) -> float:
    """Round a load, so that what is too small to decide anything is gone."""
    return round(load, _DIGITS)
