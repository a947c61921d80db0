"""Run the model of brokers and hubs for longer than a test may: see docs/evidence/life.md."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from ast import literal_eval

from tests.broker.life.search import ACCEPT, Program, Search, fault, small

#: Seconds between two lines of progress.
EVERY = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.broker.life", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--accept", choices=ACCEPT, default=ACCEPT[0], help="of the --program")
    parser.add_argument("--program", help="run this one: a list, as a failure has printed it")
    arguments = parser.parse_args()
    if arguments.program:
        logging.basicConfig(level=logging.INFO, format="  %(message)s")
        return _show(Program(arguments.accept, tuple(literal_eval(arguments.program))))
    logging.getLogger().addHandler(logging.NullHandler())
    return _search(Search(arguments.seed), arguments.minutes * 60)


def _search(search: Search, seconds: float) -> int:
    print(f"seed {search.seed}", flush=True)
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        found = search(min(EVERY, left))
        counts = f"{search.programs:,} programs, {search.steps:,} steps, {search.brokers:,} brokers"
        print(f"{counts}, {seconds - end + time.perf_counter():,.0f} s", flush=True)
        if found is not None:
            print("FAULT, made small:", flush=True)
            return _show(small(found))
    return 0


def _show(program: Program) -> int:
    error = fault(program)
    print(f"--accept {program.accept} --program {[*program.steps]!r}")
    print("no fault" if error is None else f"{type(error).__name__}: {error}")
    return int(error is not None)


if __name__ == "__main__":
    sys.exit(main())
