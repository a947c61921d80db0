"""Times, in seconds, as the few figures that are worth printing, in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["summary"]

QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def summary(times: Iterable[float]) -> dict[str, float]:
    """Count and quantiles by the nearest rank."""
    ordered = sorted(times)
    if not ordered:
        return {"count": 0, **dict.fromkeys(QUANTILES, 0.0)}
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        **{name: round(ordered[round(last * at)] * 1000, 2) for name, at in QUANTILES.items()},
    }
