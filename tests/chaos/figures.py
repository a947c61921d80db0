"""Times as the few figures that are worth printing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["cpu_seconds", "summary"]

QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def summary(times: Iterable[float]) -> dict[str, float]:
    """Count, and quantiles by the nearest rank: seconds in, milliseconds out."""
    ordered = sorted(times)
    if not ordered:
        return {"count": 0, **dict.fromkeys(QUANTILES, 0.0)}
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        **{name: round(ordered[round(last * at)] * 1000, 2) for name, at in QUANTILES.items()},
    }


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
