"""Calls of keyed actors in any order of what can happen. ``python -m tests.exchange`` runs more."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.exchange.world import play

#: More of them with an environment variable.
EXAMPLES = int(os.environ.get("ACTORRPC_EXCHANGE_PROGRAMS", "100"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order(data: st.DataObject) -> None:
    with TemporaryDirectory() as path:
        world = play(
            Path(path),
            lambda kind, options: data.draw(st.sampled_from(options), kind),
            data.draw(st.integers(1, 80), "steps"),
        )
        event(f"{world.moved} moves of actors")


def test_nothing_of_a_program_is_left(tmp_path: Path) -> None:
    """Else a long run has no memory left in the end."""
    chance = Random("1 1")
    world = play(tmp_path, lambda kind, options: chance.choice(options), 40)
    hubs = [weakref.ref(hub.topics) for hub in world.hubs]
    del world
    gc.collect()
    assert [hub() for hub in hubs] == [None] * len(hubs)
