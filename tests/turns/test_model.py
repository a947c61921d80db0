"""Random programs against the reference. ``python -m tests.turns`` runs more: see docs/evidence/turns.md."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, given, settings

from .program import Program, programs
from .reference import Fault
from .search import Found, small
from .world import World, run

#: What hypothesis has seen fail, and how it fails when it is small: hypothesis runs it again to be sure.
_seen: dict[Program, str] = {}


@settings(
    max_examples=350,
    derandomize=True,
    database=None,
    deadline=None,
    # What shows a fault is made small by `shrink`, which knows what can be left out.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(programs())
def test_turns_do_what_the_reference_says(program: Program) -> None:
    if program not in _seen:
        try:
            run(World(program))
            return
        except Fault as fault:
            found = small(Found(fault, program, 0))
            _seen[program] = f"{found.fault}\npython -m tests.turns --program {str(found.program)!r}"
    raise AssertionError(_seen[program])
