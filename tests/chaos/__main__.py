"""Run the storm for longer than a test may: see docs/evidence/chaos.md."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.chaos.experiment import experiment
from tests.chaos.mover import Moves
from tests.chaos.storm import Plan

#: Seconds between two lines of progress.
EVERY = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--moves", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=1000.0, help="moves a second at most")
    parser.add_argument("--seconds", type=float, help="ask for no more moves after so long")
    parser.add_argument("--hubs", type=int, default=2)
    parser.add_argument("--clients", type=int, default=Plan.members, help="grpcio channels")
    parser.add_argument("--streamers", type=int, default=Plan.streamers, help="channels with long streams")
    parser.add_argument(
        "--troublemakers", type=int, default=Plan.troublemakers, help="channels whose handlers fork and fail"
    )
    parser.add_argument("--keyed", type=int, default=Plan.keyed, help="channels that call keyed actors")
    parser.add_argument("--tls", type=float, default=Plan.tls, help="the share of these that speak TLS")
    parser.add_argument("--think", type=float, default=Plan.think, help="seconds between a client's steps")
    parser.add_argument(
        "--deaths-every",
        type=float,
        default=30.0,
        help="seconds between two hubs that are killed; 0: none is",
    )
    parser.add_argument(
        "--reloads-every", type=float, default=60.0, help="seconds between two reloads; 0: there is none"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    plan = Plan(
        moves=arguments.moves,
        rate=arguments.rate,
        hubs=arguments.hubs,
        members=arguments.clients,
        streamers=arguments.streamers,
        troublemakers=arguments.troublemakers,
        keyed=arguments.keyed,
        tls=arguments.tls,
        think=arguments.think,
        seed=arguments.seed,
        deaths_every=arguments.deaths_every,
        reloads_every=arguments.reloads_every,
        limit=arguments.seconds,
    )
    outcome = experiment(plan, Progress(plan.moves))
    print(json.dumps(outcome.storm.figures(), indent=2))
    for (process, kind), count in sorted(outcome.after.items()):
        print(f"{process}: {kind} {count} ({count - outcome.before.get((process, kind), 0):+})")
    for each in outcome.wrong:
        print("WRONG:", each)
    return 1 if outcome.wrong else 0


class Progress:
    """Prints a line now and then."""

    def __init__(self, moves: int) -> None:
        self._moves = moves
        self._next = time.monotonic() + EVERY
        self._before = 0

    def __call__(self, moves: Moves) -> None:
        if time.monotonic() < self._next:
            return
        rate = (moves.count - self._before) / EVERY
        slowest = max(moves.seconds[self._before :], default=0.0) * 1000
        self._before = moves.count
        self._next += EVERY
        print(
            f"{moves.count:,} of {self._moves:,} moves, {rate:.0f} a second, the slowest {slowest:.0f} ms, "
            f"{moves.aborted.total()} aborted {dict(moves.aborted) or ''}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
