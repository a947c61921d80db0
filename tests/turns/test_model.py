"""Random programs against the reference; see docs/turns.md. ``python -m tests.turns`` runs them for longer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, note, settings

from .program import Program, programs
from .search import quick_garbage
from .world import World, run


@pytest.fixture(scope="module", autouse=True)
def _garbage() -> Iterator[None]:
    with quick_garbage():
        yield


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
