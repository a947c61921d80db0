"""Programs without end: hypothesis draws them, and makes one that shows a fault small."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings

from .program import Program, programs
from .reference import Fault
from .world import World, run

__all__ = ["Found", "Search"]

#: Programs of one seed: after so many, hypothesis begins anew with the next.
AT_ONCE = 1000


@dataclass
class Found:
    """A program that shows a fault, as small as it was made."""

    fault: Fault
    program: Program
    #: Programs that had run before it was seen, and the seed.
    programs: int
    seed: int


@dataclass
class Search:
    """Run programs until one shows a fault that is looked for. ``only`` are kinds of faults; all, if none."""

    seed: int = 1
    only: tuple[str, ...] = ()
    #: What else a program or its fault must be like.
    wanted: Callable[[Program, Fault], bool] = field(default=lambda program, fault: True)
    shrink: bool = True
    programs: int = 0
    moves: int = 0
    other: dict[str, int] = field(default_factory=dict)
    _last: tuple[Fault, Program] | None = None
    _first: int = 0

    def __call__(self, *, seconds: float = float("inf"), most: int = 1 << 62) -> Found | None:
        """Search for so long, and so many programs. None: there is no fault."""
        until = time.monotonic() + seconds
        chosen = random.Random(self.seed)
        number = self.seed
        while time.monotonic() < until and self.programs < most:
            try:
                self._batch(number, min(AT_ONCE, most - self.programs), until)
            except Fault:
                assert self._last is not None
                return Found(*self._last, self._first, number)
            number = chosen.getrandbits(32)
        return None

    def _batch(self, number: int, count: int, until: float) -> None:
        phases = [Phase.generate, Phase.shrink] if self.shrink else [Phase.generate]

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(programs())
        def test(program: Program) -> None:
            if self._last is None and time.monotonic() > until:
                return
            self._try(program)

        test()

    def _try(self, program: Program) -> None:
        if self._last is None:
            self.programs += 1
        world = World(program)
        try:
            run(world)
        except Fault as fault:
            if (self.only and fault.kind not in self.only) or not self.wanted(program, fault):
                self.other[fault.kind] = self.other.get(fault.kind, 0) + 1
                return
            if self._last is None:
                self._first = self.programs
            self._last = fault, program
            raise
        finally:
            if self._last is None:
                self.moves += world.costs.moves
