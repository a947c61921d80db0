"""The benchmark with tiny parameters: it runs to its end, and reports all it says it reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_reports_every_figure() -> None:
    command = [sys.executable, "-m", "benchmarks.balancing_simulated", "--quick", "--load", "fast"]
    command += ["--hubs", "10", "--json", "--no-verdict"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["met"] in (True, False)
    names = [each["name"] for each in found["results"]]
    policies = ("none", "count", "greedy", "steal", "steady")
    skewed = [f"{what}_{policy}" for policy in policies for what in ("imbalance", "moves", "ping_pong")]
    steps = ["step_cpu", "step_cpu_worst", "step_wall", "step_wall_worst", "step_moves"]
    assert names == [*skewed, "delay_fast", "delay_worst_fast", *steps]
    with_goals = [each["name"] for each in found["results"] if each["goal"] is not None]
    assert with_goals == [
        "imbalance_steady", "moves_steady", "ping_pong_steady", "delay_fast", "delay_worst_fast",
        "step_cpu", "step_cpu_worst", "step_wall",
    ]  # fmt: skip
