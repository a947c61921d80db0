"""Servers whose hubs end again and again: how long they go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from actorrpc.cli.commands import RESTARTS
from tests.support.fixtures import Serve
from tests.support.processes import actorrpc, group_members
from tests.support.server_process import ServerProcess


def end(server: ServerProcess, hub: int, signum: signal.Signals) -> None:
    """End a hub's process, and wait until its next one serves."""
    pid = server.hub(hub)["pid"]
    os.kill(pid, signum)
    server.wait_for(lambda: (row := server.hub(hub))["state"] == "serving" and row["pid"] != pid)


def test_a_server_stops_when_hubs_end_too_often(serve: Serve) -> None:
    server = serve("--restart-intensity", 2, "--restart-period", 1000)
    end(server, 0, signal.SIGKILL)
    end(server, 1, signal.SIGKILL)
    os.kill(server.hub(0)["pid"], signal.SIGKILL)
    assert server.wait() == RESTARTS
    assert server.log.endswith(
        "actorrpc: error: hubs ended 3 times within 1000 s, and at most 2 restarts are allowed "
        "(--restart-intensity, --restart-period); the last: hub 0 was killed by SIGKILL\n"
    )
    assert group_members(server.pid) == []
    assert not server.runtime_dir.exists()


def test_hubs_that_end_as_they_are_told_are_not_counted(serve: Serve) -> None:
    server = serve("--restart-intensity", 1, "--restart-period", 1000)
    for _ in range(3):
        end(server, 1, signal.SIGTERM)
    end(server, 1, signal.SIGKILL)
    os.kill(server.hub(1)["pid"], signal.SIGKILL)
    assert server.wait() == RESTARTS


def test_a_hub_that_cannot_start_again_is_counted_and_its_traceback_shown(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os\n"
        "def look():\n"
        "    if os.path.exists('broken'): raise RuntimeError('broken')\n"
        "look()\n"
        "from tests.apps.shapes import app\n"
    )
    server = serve("--restart-intensity", 3, app="fragile:app", cwd=tmp_path, hubs=1)
    (tmp_path / "broken").touch()
    os.kill(server.hub(0)["pid"], signal.SIGKILL)
    assert server.wait() == RESTARTS
    assert "hubs ended 4 times within 60 s" in server.log
    assert "the last: hub 0 exited with status 1" in server.log
    assert "    Traceback (most recent call last):\n" in server.log
    assert f'File "{tmp_path}/fragile.py", line 3, in look\n' in server.log


@pytest.mark.parametrize(
    "status", ["0 stopped, by SIGTERM", "2 it cannot start", "3 its hubs ended more often"]
)
def test_the_exit_status_is_documented(status: str) -> None:
    assert status in " ".join(actorrpc("serve", "--help").stdout.split())
