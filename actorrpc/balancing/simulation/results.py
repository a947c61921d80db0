"""Runs of workloads under policies, and what they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from actorrpc.balancing.policies import make_policy
from actorrpc.balancing.simulation.measures import RETURN, Figures
from actorrpc.balancing.simulation.replay import Recording, Replayed
from actorrpc.balancing.simulation.scenario import Scenario
from actorrpc.balancing.simulation.simulation import Simulation

__all__ = ["Run", "document", "run", "run_recording", "table"]

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Run:
    """One workload under one policy."""

    load: str
    policy: str
    figures: Figures
    #: Points of time, imbalance, p99 of delay in ms, and moves a minute.
    curves: Sequence[tuple[float, float, float, float]]
    #: The last decision not to move, of each subject.
    stays: dict[str, str]


def run(scenario: Scenario, policy: str, on_progress: Progress = lambda now: None) -> Run:
    """Simulate one scenario. Raises ConfigError if there is no such policy."""
    return _run(Simulation(scenario, make_policy(policy), on_progress=on_progress), policy)


def run_recording(
    recording: Recording, scenario: Scenario, policy: str, on_progress: Progress = lambda now: None
) -> Run:
    """Replay a recording. The scenario gives noise, staleness, aborts and the seed."""
    workload = Replayed(recording)
    connections = workload.connections()
    same = replace(
        scenario,
        load="replay",
        hubs=connections.hubs,
        connections=connections.count,
        minutes=recording.seconds / 60,
        utilisation=connections.count / connections.hubs,
    )
    simulation = Simulation(same, make_policy(policy), workload, connections, on_progress)
    simulation.fixed = workload.fixed
    return _run(simulation, policy)


def _run(simulation: Simulation, policy: str) -> Run:
    measures = simulation.run()
    scenario = simulation.scenario
    return Run(scenario.load, policy, measures.figures(scenario.seconds), measures.curves, simulation.stays)


def document(runs: Sequence[Run]) -> str:
    """As JSON: a list of runs, with the keys of Figures."""
    rows: list[dict[str, Any]] = [
        {"load": each.load, "policy": each.policy, **each.figures.document(), "stays": each.stays}
        for each in runs
    ]
    return json.dumps(rows, indent=2)


def table(runs: Sequence[Run]) -> str:
    """A line for each run."""
    head = ["load", "policy", "max/mean", "p99", "delay ms", "p99", "moves/min", "ping-pong", "aborted"]
    rows = [head, *([each.load, each.policy, *_cells(each.figures)] for each in runs)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[at].ljust(widths[at]) if at < 2 else row[at].rjust(widths[at]) for at in range(len(row))]
        lines.append("  ".join(cells))
    note = f"Ping-pong: the share of moves back to a hub that the connection had left within {RETURN:.0f} s."
    return "\n".join([*lines, note])


def _cells(figures: Figures) -> list[str]:
    return [
        f"{figures.imbalance:.3f}",
        f"{figures.imbalance_p99:.3f}",
        f"{figures.delay_ms:,.2f}",
        f"{figures.delay_p99_ms:,.2f}",
        f"{figures.moves_per_minute:.1f}",
        f"{figures.ping_pong:.1%}",
        str(figures.aborted),
    ]
