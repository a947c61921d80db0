"""The directory in any order of what can happen."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.directory.model import play

#: More of them with an environment variable.
EXAMPLES = int(os.environ.get("ACTORRPC_DIRECTORY_PROGRAMS", "100"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order(data: st.DataObject) -> None:
    with TemporaryDirectory() as path:
        before = len(os.listdir("/proc/self/fd"))
        world = play(
            Path(path),
            lambda kind, options: data.draw(st.sampled_from(options), kind),
            data.draw(st.integers(1, 80), "steps"),
        )
        event(f"{world.last - 1000} processes")
        assert len(os.listdir("/proc/self/fd")) == before
