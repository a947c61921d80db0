"""The sockets at which hubs can be called."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from actorrpc.broker.host.hub_sockets import call_hub, listen_for_calls
from actorrpc.broker.host.runtime_dir import RuntimeDir


def test_brokers_that_die_one_after_the_other_can_all_call_a_hub_that_is_stopped(tmp_path: Path) -> None:
    """Calls stay in the queue when who called has gone, until the hub takes them."""
    directory = RuntimeDir(str(tmp_path))
    with listen_for_calls(directory, 1001), ExitStack() as calls:
        for _ in range(100):
            calls.enter_context(call_hub(directory, 1001))
