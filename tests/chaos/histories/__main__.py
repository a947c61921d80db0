"""Call keyed actors for as long as one likes while all moves, and something dies: docs/evidence/actors.md."""

from __future__ import annotations

import argparse
import json
import sys
import time

from tests.chaos.histories.clients import Clients
from tests.chaos.histories.saboteur import CALM, VIOLENT, Saboteur
from tests.chaos.histories.trial import Plan, trial

#: Seconds between two lines of progress.
EVERY = 15.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.histories", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=Plan.callers, help="threads that call")
    parser.add_argument("--connections", type=int, default=Plan.connections, help="which they share")
    parser.add_argument("--keys", type=int, default=Plan.keys)
    parser.add_argument("--pause", type=float, default=Plan.pause, help="seconds between two moves, at most")
    parser.add_argument(
        "--troubles", nargs="+", choices=(*CALM, *VIOLENT), default=(*CALM, *VIOLENT), help="what happens"
    )
    arguments = parser.parse_args()
    plan = Plan(
        seconds=60 * arguments.minutes,
        seed=arguments.seed,
        kinds=tuple(arguments.troubles),
        callers=arguments.clients,
        connections=arguments.connections,
        keys=arguments.keys,
        pause=arguments.pause,
    )
    outcome = trial(plan, Progress())
    print(json.dumps(outcome.figures(), indent=2))
    for each in outcome.wrong:
        print("WRONG:", each)
    return 1 if outcome.wrong else 0


class Progress:
    """Prints a line now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + EVERY

    def __call__(self, clients: Clients, saboteur: Saboteur) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        print(
            f"{len(clients.history):,} operations, {len(clients.failures)} failed, "
            f"{len(clients.faults)} faults, {dict(saboteur.counts)}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
