"""Programs without end, from a seed, and what shows a fault made small."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from .program import Program, random_program
from .reference import Fault
from .shrink import shrunk
from .world import World, run

__all__ = ["Found", "Search", "small"]


@dataclass
class Found:
    """A program that shows a fault."""

    fault: Fault
    program: Program
    #: How many programs had run.
    programs: int


class Search:
    """Runs programs. ``only``: kinds of faults to look for; all, if none."""

    def __init__(self, seed: int, only: tuple[str, ...] = ()) -> None:
        self._chosen = random.Random(seed)
        self._only = only
        self.programs = 0
        self.moves = 0
        #: Faults of other kinds, and how often they were seen.
        self.other: dict[str, int] = {}

    def __call__(self, *, seconds: float = float("inf"), most: int = 1 << 62) -> Found | None:
        """Search for so long, or until so many programs have run. None: no fault."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.programs < most:
            program = random_program(self._chosen)
            world = World(program)
            self.programs += 1
            try:
                run(world)
            except Fault as fault:
                if not self._only or fault.kind in self._only:
                    return Found(fault, program, self.programs)
                self.other[fault.kind] = self.other.get(fault.kind, 0) + 1
            self.moves += world.costs.moves
        return None


def small(found: Found) -> Found:
    """The same fault, of the same rule, by a smaller program."""
    faults: dict[Program, Fault] = {found.program: found.fault}

    def shows(program: Program) -> bool:
        try:
            run(World(program))
        except Fault as fault:
            faults[program] = fault
            return fault.kind == found.fault.kind
        return False

    program = shrunk(found.program, shows)
    return Found(faults[program], program, found.programs)
