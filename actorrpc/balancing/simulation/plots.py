"""Curves over time: imbalance, p99 of the queueing delay, and moves a minute, for each policy."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib

from actorrpc.balancing.simulation.results import Run

__all__ = ["plot"]

matplotlib.use("Agg")
# The same figures make the same file.
matplotlib.rcParams["svg.hashsalt"] = "actorrpc"

_TITLES = ("max/mean of the hubs' load", "p99 of the delay, ms", "moves a minute")


def plot(runs: Sequence[Run], path: str) -> None:
    """Draw all runs into a file, a column for each workload. Raises OSError, and ValueError for its name."""
    from matplotlib.figure import Figure

    loads = list(dict.fromkeys(each.load for each in runs))
    figure = Figure(figsize=(1.5 + 4.5 * len(loads), 7), layout="constrained")
    axes = figure.subplots(3, len(loads), sharex=True, squeeze=False)
    for column, load in enumerate(loads):
        axes[0, column].set_title(load)
        axes[2, column].set_xlabel("seconds")
        for each in runs:
            if each.load == load:
                times = [point[0] for point in each.curves]
                for row in range(3):
                    values = [point[row + 1] for point in each.curves]
                    axes[row, column].plot(times, values, label=each.policy, linewidth=1)
        if any(point[2] > 0 for each in runs if each.load == load for point in each.curves):
            axes[1, column].set_yscale("log")
    for row, title in enumerate(_TITLES):
        axes[row, 0].set_ylabel(title)
    axes[0, 0].legend(fontsize="small")
    # No date: see above.
    metadata = {"Date": None} if path.endswith(".svg") else {}
    figure.savefig(path, dpi=80, metadata=metadata)
