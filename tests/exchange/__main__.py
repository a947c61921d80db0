"""Run the model of calls of keyed actors for longer than a test may: see docs/design/actors.md."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.exchange.world import play

#: Seconds between two lines of progress.
EVERY = 30.0
LONGEST = 120


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.exchange", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--program", type=int, help="run this one of the seed's")
    arguments = parser.parse_args()
    if arguments.program is not None:
        return _run(arguments.seed, arguments.program)
    return _search(arguments.seed, arguments.minutes * 60)


def _search(seed: int, seconds: float) -> int:
    print(f"seed {seed}", flush=True)
    start = told = time.monotonic()
    programs = 0
    while (now := time.monotonic()) < start + seconds:
        if _run(seed, programs):
            return 1
        programs += 1
        if now > told + EVERY:
            told = now
            print(f"{programs:,} programs, {now - start:,.0f} s", flush=True)
    print(f"{programs:,} programs, no fault")
    return 0


def _run(seed: int, program: int) -> int:
    random = Random(f"{seed} {program}")
    with TemporaryDirectory() as path:
        try:
            play(Path(path), lambda kind, options: random.choice(options), random.randint(1, LONGEST))
        except Exception as error:
            print(f"FAULT: --seed {seed} --program {program}\n{error}", flush=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
