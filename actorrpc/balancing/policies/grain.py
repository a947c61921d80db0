"""What is too little to decide: the last bits of a load say how it was added up, and on which Python.

Sums of floats depend on the order, and from Python 3.12 on ``sum`` adds otherwise than before. So a policy
adds with ``math.fsum`` or ``fmean``, tells apart what differs by more than ``GRAIN``, and sorts by
``grained``.
"""

from __future__ import annotations

__all__ = ["GRAIN", "grained"]

#: Cores. A million times what adding up is off by, a millionth of the lightest load that a hub names.
GRAIN = 1e-9
_DIGITS = 9


def grained(load: float) -> float:
    """Return the load without what is too little to decide."""
    return round(load, _DIGITS)
