"""Connections are looked for in any order of what can happen. ``python -m tests.search`` runs more."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.search.model import play

#: More of them with an environment variable.
EXAMPLES = int(os.environ.get("ACTORRPC_SEARCH_PROGRAMS", "100"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order(data: st.DataObject) -> None:
    world = play(
        Path(),
        lambda kind, options: data.draw(st.sampled_from(options), kind),
        data.draw(st.integers(1, 80), "steps"),
    )
    event(f"{min(world.moved, 5)} moves or more")
