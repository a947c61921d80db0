"""How many clients there may be until a figure exceeds its limit."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt

__all__ = ["crossing", "search"]


def search(
    measure: Callable[[int], float], first: int, most: int, figure: float, limit: float, halvings: int
) -> float:
    """Return the number of clients at which what ``measure`` finds of them reaches the limit.

    ``figure`` is what ``first`` clients have. Their number is doubled until the limit is exceeded; then the
    interval is halved, on a scale of ratios, so many times, and ``crossing`` tells where in the rest it is.
    Where ``first`` are too many already, or ``most`` are not, their number is returned.
    """
    held, within = first, figure
    if within > limit:
        return float(first)
    while (beyond := measure(exceeded := min(2 * held, most))) <= limit:
        held, within = exceeded, beyond
        if held == most:
            return float(most)
    for _ in range(halvings):
        middle = round(sqrt(held * exceeded))
        if not held < middle < exceeded:
            break
        found = measure(middle)
        if found <= limit:
            held, within = middle, found
        else:
            exceeded, beyond = middle, found
    return crossing((held, within), (exceeded, beyond), limit)


def crossing(held: tuple[int, float], exceeded: tuple[int, float], limit: float) -> float:
    """Where the limit lies between two numbers of clients with their figures, on a scale of ratios.

    A figure within the limit, then one beyond it. The larger the latter, the nearer is the result to the
    former: where hubs have fallen behind, it is too small if anything.
    """
    (low, within), (high, beyond) = held, exceeded
    share = log(limit / within) / log(beyond / within)
    return float(low * (high / low) ** share)
