"""Random programs against the reference. ``python -m tests.turns`` runs more: see docs/turns.md."""

from __future__ import annotations

from hypothesis import HealthCheck, given, note, settings

from .program import Program, programs
from .world import World, run


@settings(
    max_examples=600,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(programs())
def test_turns_do_what_the_reference_says(program: Program) -> None:
    note(f"python -m tests.turns --program {str(program)!r}")
    run(World(program))
