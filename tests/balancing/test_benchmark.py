"""The benchmarks with tiny parameters: they run to their end, and report all they say they report."""

from __future__ import annotations

import json
import subprocess
import sys
from math import log

import numpy as np
import pytest

from actorrpc.balancing.simulation.queueing import SERVICE
from benchmarks.capacity import simulated
from benchmarks.capacity.simulated import waits
from tests.support.processes import ROOT


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


def test_capacity_reports_what_each_policy_holds() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.capacity",
        "simulated",
        "--json",
        "--no-verdict",
        "--seeds=2",
    ]
    command += ["--simulated-hubs=4", "--simulated-per-core=32", "--simulated-minutes=1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["met"] in (True, False)
    assert [each["name"] for each in found["results"]] == [
        "simulated: p99 with 13 clients of the 128 that fill the cores",
        "simulated: none: clients held at twice that p99",
        "simulated: count: clients held at twice that p99",
        "simulated: steady: clients held at twice that p99",
        "simulated: count: clients, of none",
        "simulated: steady: clients, of none",
    ]
    assert [each["goal"] for each in found["results"]] == [None] * 5 + [1.0]
    assert all(len(each["rounds"]) == 2 for each in found["results"])


def test_a_probe_waits_as_in_a_queue_of_the_load_that_the_hub_has() -> None:
    """The p99 of the wait in an M/M/1 queue is ln(100 ρ) / (µ - λ)."""
    jobs = np.array([1.0, 9.0])  # ρ of 0.5 and 0.9
    still = waits(jobs, np.array([[60.0, 0.0], [0.0, 1.0]]), 0.01)
    assert still == pytest.approx([log(50) * 2 * SERVICE, log(90) * 10 * SERVICE])
    (mixed,) = waits(jobs, np.array([[1.0, 1.0]]), 0.01)
    assert still[0] < mixed < still[1]
    assert 0.5 * 0.5 * np.exp(-mixed / (2 * SERVICE)) + 0.5 * 0.9 * np.exp(
        -mixed / (10 * SERVICE)
    ) == pytest.approx(0.01)
    assert waits(np.array([0.005]), np.array([[1.0]]), 0.01) == pytest.approx([0], abs=1e-12)


def test_moving_helps_the_worst_probe_of_a_skewed_load() -> None:
    setting = simulated.Setting(hubs=8, per_core=128, minutes=2.0)
    found = {policy: simulated.measure(setting, policy, 400, 1) for policy in ("none", "steady")}
    assert found["steady"] < found["none"]
    assert found == {policy: simulated.measure(setting, policy, 400, 1) for policy in ("none", "steady")}
