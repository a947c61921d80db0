"""Times as the few figures that are worth printing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from actorrpc.percentile import percentile

__all__ = ["cpu_seconds", "summary"]

PERCENTILES = {"p50": 50, "p99": 99, "p999": 99.9, "max": 100}


def summary(times: Iterable[float]) -> dict[str, float]:
    """Count, and percentiles: seconds in, milliseconds out."""
    ordered = sorted(times)
    if not ordered:
        return {"count": 0, **dict.fromkeys(PERCENTILES, 0.0)}
    found = {name: round(percentile(ordered, at) * 1000, 2) for name, at in PERCENTILES.items()}
    return {"count": len(ordered), **found}


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, its own and the kernel's for it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
