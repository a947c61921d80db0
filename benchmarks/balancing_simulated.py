"""What the balancing policies make of loads, simulated; and what a planning step costs with 1,000 hubs.

    python -m benchmarks.balancing_simulated

Each figure is taken once for each seed, and none of the seeds is one that the policy's numbers were chosen
with. README.md says more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from actorrpc.balancing.policies import make_policy
from actorrpc.balancing.simulation.measures import Figures
from actorrpc.balancing.simulation.results import run
from actorrpc.balancing.simulation.scenario import WORKLOADS, Scenario
from actorrpc.balancing.view import ConnectionLoad, History, HubLoad, Move, View
from benchmarks import figures
from benchmarks.figures import Figure

#: The first goal: of `steady`, under the log-normal load.
_IMBALANCE, _MOVES, _PING_PONG = 1.15, 40, 0.03
#: The second: the p99 of its delay, over that of `none`; for the median and the worst seed.
_NO_WORSE = 1.05
#: The third, in ms.
_STEP = 50
_HUBS, _EACH, _STEPS = 1000, 10_000, 40

_POLICIES = ("none", "count", "greedy", "steal", "steady")


def skewed(seeds: Sequence[int], minutes: float) -> Iterator[Figure]:
    """The log-normal load under each policy."""
    for policy in _POLICIES:
        found = [_run("lognormal", policy, seed, minutes) for seed in seeds]
        goal = policy == "steady"
        yield Figure(f"imbalance_{policy}", f"max/mean, {policy}", "", _IMBALANCE if goal else None,
            rounds=[each.imbalance for each in found])  # fmt: skip
        yield Figure(f"moves_{policy}", f"moves a minute, {policy}", "/min", _MOVES if goal else None,
            rounds=[each.moves_per_minute for each in found])  # fmt: skip
        yield Figure(f"ping_pong_{policy}", f"ping-pong, {policy}", "", _PING_PONG if goal else None,
            rounds=[each.ping_pong for each in found])  # fmt: skip


def harmless(loads: Sequence[str], seeds: Sequence[int], minutes: float) -> Iterator[Figure]:
    """Under each load the delay with `steady`, over that with `none`: the seeds' median, and the worst."""
    for load in loads:
        ratios = []
        for seed in seeds:
            delay = {policy: _run(load, policy, seed, minutes).delay_p99_ms for policy in ("none", "steady")}
            ratios.append(delay["steady"] / delay["none"])
        yield Figure(f"delay_{load}", f"p99 delay of none's, {load}", "", _NO_WORSE, rounds=ratios)
        yield Figure(
            f"delay_worst_{load}", f"the same, worst seed, {load}", "", _NO_WORSE, rounds=[max(ratios)]
        )


def _run(load: str, policy: str, seed: int, minutes: float) -> Figures:
    found = run(Scenario(load=load, seed=seed, minutes=minutes), policy).figures
    print(f"{load}, {policy}, seed {seed}: max/mean {found.imbalance:.3f}, p99 {found.delay_p99_ms:.2f} ms, "
          f"{found.moves_per_minute:.1f} moves/min", file=sys.stderr, flush=True)  # fmt: skip
    return found


def steps(hubs: int) -> Iterator[Figure]:
    """Planning steps from the reports of many hubs: ten million connections at a thousand."""
    rng = random.Random(1)
    busy = [min(0.99, rng.lognormvariate(-0.7, 0.4)) for _ in range(hubs)]
    named = [_named(hub, busy[hub], rng) for hub in range(hubs)]
    policy, history = make_policy("steady"), History()
    wall, cpu, moves = [], [], []
    for step in range(_STEPS):
        now = step * 0.25
        loads = {
            hub: HubLoad(
                hub, min(1.0, busy[hub] * rng.gauss(1, 0.05)), _EACH, named[hub][:32], named[hub][32:]
            )
            for hub in range(hubs)
        }
        began, used = perf_counter(), process_time()
        decided = [each for each in policy.plan(View(now, loads, history)) if isinstance(each, Move)]
        cpu.append((process_time() - used) * 1000)
        wall.append((perf_counter() - began) * 1000)
        moves.append(float(len(decided)))
        for move in decided:
            history.begun(move, now)
            busy[move.source] -= move.load
            busy[move.target] += move.load
            history.ended(move.connection, now + 0.1)
    yield Figure("step_cpu", f"planning step, {hubs:,} hubs: CPU", "ms", _STEP, rounds=cpu)
    yield Figure("step_cpu_worst", "the same, worst step: CPU", "ms", _STEP, rounds=[max(cpu)])
    # Other programs on the machine are in its worst; so the goal is the CPU's.
    yield Figure("step_wall", "the same: wall", "ms", _STEP, rounds=wall)
    yield Figure("step_wall_worst", "the same, worst step: wall", "ms", rounds=[max(wall)])
    yield Figure("step_moves", "moves decided in a step", "", rounds=moves)


def _named(hub: int, busy: float, rng: random.Random) -> list[ConnectionLoad]:
    loads = sorted((busy / 200 * rng.lognormvariate(0, 1) for _ in range(48)), reverse=True)
    return [
        ConnectionLoad(f"{hub}-1-{at}", load, load * rng.uniform(0.8, 1.2), 2000, 0.3, 300.0)
        for at, load in enumerate(loads)
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Balancing policies in simulation, and the cost of a planning step.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", type=int, default=5, metavar="N", help="seeds: 3001 and the next ones")
    add("--minutes", type=float, default=10.0, metavar="M", help="simulated minutes of each run")
    add(
        "--load",
        action="append",
        choices=list(WORKLOADS),
        help="of the second goal only this; repeat it for more",
    )
    add(
        "--hubs",
        type=int,
        default=_HUBS,
        metavar="N",
        help="hubs of the planning step, 10,000 connections each",
    )
    add("--quick", action="store_true", help="a minute of one seed: to see that it works")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.minutes = 1, 1.0
    if options.seeds < 1 or options.hubs < 2 or options.minutes <= 0:
        parser.error("it takes a seed, two hubs and some time at least")
    return options


def main() -> int:
    options = _options()
    seeds = range(3001, 3001 + options.seeds)
    found = [
        *skewed(seeds, options.minutes),
        *harmless(options.load or list(WORKLOADS), seeds, options.minutes),
        *steps(options.hubs),
    ]
    reached = figures.met(found)
    if options.json:
        document: dict[str, Any] = {"met": reached, "results": figures.document(found)}
        print(json.dumps(document, indent=2))
    else:
        title = f"Simulated: 8 hubs, 512 connections, {options.minutes:.0f} minutes, {len(seeds)} seeds."
        print(title, figures.table(found), f"All goals: {'met' if reached else 'MISSED'}.", sep="\n")
    return 1 if reached is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
