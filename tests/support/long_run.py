"""The command that plays a model's random programs for longer than a test may."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

__all__ = ["Choose", "Play", "long_run"]

#: Chooses one of some things: of which kind they are, and their names.
Choose = Callable[[str, Sequence[str]], str]
#: Plays a program of so many steps in a folder, and raises what fault it sees.
Play = Callable[[Path, Choose, int], object]

#: Seconds between two lines of progress.
EVERY = 30.0


def long_run(module: str, description: str | None, play: Play, longest: int) -> int:
    """Play programs of up to ``longest`` steps, as the command line says. Returns 1 for a fault."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--program", type=int, help="run this one of the seed's")
    arguments = parser.parse_args()
    if arguments.program is not None:
        return _run(play, longest, arguments.seed, arguments.program)
    return _search(play, longest, arguments.seed, arguments.minutes * 60)


def _search(play: Play, longest: int, seed: int, seconds: float) -> int:
    print(f"seed {seed}", flush=True)
    start = told = time.monotonic()
    programs = 0
    while (now := time.monotonic()) < start + seconds:
        if _run(play, longest, seed, programs):
            return 1
        programs += 1
        if now > told + EVERY:
            told = now
            print(f"{programs:,} programs, {now - start:,.0f} s", flush=True)
    print(f"{programs:,} programs, no fault")
    return 0


def _run(play: Play, longest: int, seed: int, program: int) -> int:
    random = Random(f"{seed} {program}")
    with TemporaryDirectory() as path:
        try:
            play(Path(path), lambda kind, options: random.choice(options), random.randint(1, longest))
        except Exception as error:
            print(f"FAULT: --seed {seed} --program {program}\n{error}", flush=True)
            return 1
    return 0
