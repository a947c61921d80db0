"""Run the model of turns for longer than a test may: see docs/evidence/turns.md."""

from __future__ import annotations

import argparse
import sys
import time

from .program import Program
from .search import Search, small
from .world import World, run

#: Seconds between two lines of progress.
EVERY = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.turns", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--programs", type=int, default=1 << 62, help="run no more than so many")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="kinds of faults to look for, with commas; others pass")
    parser.add_argument("--no-shrink", action="store_true", help="do not make the program small")
    parser.add_argument("--program", help="run this one: what a failure has printed")
    arguments = parser.parse_args()
    if arguments.program:
        run(World(eval(arguments.program, {"Program": Program})))
        return 0
    search = Search(arguments.seed, tuple(filter(None, arguments.only.split(","))))
    print(f"seed {arguments.seed}", flush=True)
    began = time.monotonic()
    found = None
    while found is None and (left := arguments.minutes * 60 - (time.monotonic() - began)) > 0:
        found = search(seconds=min(EVERY, left), most=arguments.programs)
        seconds = time.monotonic() - began
        print(f"{search.programs:,} programs, {search.moves:,} moves, {seconds:,.0f} s", flush=True)
        if search.programs >= arguments.programs:
            break
    if search.other:
        print(f"faults of other kinds: {search.other}")
    if found is None:
        return 0
    print(f"FAULT {found.fault}\nseen by program {found.programs:,} of seed {arguments.seed}:", flush=True)
    print(found.program, flush=True)
    if not arguments.no_shrink:
        found = small(found)
        print(f"made small: {found.fault}\n{found.program}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
