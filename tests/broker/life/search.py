"""Programs from a seed, and how one that shows a fault is made small."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.broker.life.world import World

__all__ = ["ACCEPT", "Program", "Search", "fault", "small"]

ACCEPT = ("reuseport", "acceptor")
#: How often each kind of steps comes, in one program: what goes on by itself, wishes, and chaos.
WEIGHTS = ((8, 5, 3), (8, 5, 1), (6, 6, 6), (8, 3, 8), (12, 6, 2), (4, 8, 2))
LONGEST = 60


@dataclass(frozen=True)
class Program:
    accept: str
    steps: tuple[str, ...]


class Search:
    """Draws programs from seeds, one after the other."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.programs = self.steps = self.brokers = 0

    def __call__(self, seconds: float) -> Program | None:
        """Run programs for so long, or until one shows a fault, which is returned."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if (program := self._run(Random(f"{self.seed} {self.programs}"))) is not None:
                return program
        return None

    def _run(self, random: Random) -> Program | None:
        with World(random.choice(ACCEPT)) as world:
            try:
                _draw(world, random)
                world.finish()
            except Exception:
                return Program(world.accept, tuple(world.steps_taken))
            finally:
                self.programs += 1
                self.steps += len(world.steps_taken)
                self.brokers += len(world.brokers)
        return None


def _draw(world: World, random: Random) -> None:
    weights = random.choice(WEIGHTS)
    if random.random() < 0.85:
        world.boot()
    for _ in range(random.randint(1, LONGEST)):
        (kind,) = random.choices((world.steps, world.wishes, world.chaos), weights)
        if steps := kind():
            world.run(random.choice(sorted(steps)))


def fault(program: Program) -> Exception | None:
    """What a program shows. A step that is not possible is left out."""
    with World(program.accept) as world:
        try:
            for step in program.steps:
                if step in world.possible():
                    world.run(step)
            world.finish()
        except Exception as error:
            return error
    return None


def small(program: Program) -> Program:
    """Steps are left out, the most at once first, as long as the same line raises."""
    shows = _where(fault(program))
    size = len(program.steps) // 2
    while size:
        at = 0
        while at < len(program.steps):
            shorter = Program(program.accept, _without(program.steps, at, size))
            if shows and _where(fault(shorter)) == shows:
                program = shorter
            else:
                at += size
        size //= 2
    return program


def _without(steps: Sequence[str], at: int, size: int) -> tuple[str, ...]:
    return (*steps[:at], *steps[at + size :])


def _where(error: Exception | None) -> tuple[str, int] | None:
    """The line that has raised."""
    traceback = None if error is None else error.__traceback__
    found = None
    while traceback is not None:
        found = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    return found
