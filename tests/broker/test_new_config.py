"""What the broker itself goes by after a reload: the options that the new hubs were told."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.cli.commands import RESTARTS
from actorrpc.config import Config
from actorrpc.errors import TooManyRestarts
from tests.broker.supervised import supervised
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE

Connect = Callable[[str], CountingClient]


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> ServerProcess:
    """One with a file of options, which are not yet what they will be."""
    (tmp_path / "serve.toml").write_text("hang_timeout = 0\nkill_timeout = 0\ndrain_timeout = 0.5\n")
    return serve("--config", tmp_path / "serve.toml", hubs=1)


def reload(server: ServerProcess, folder: Path, **options: object) -> None:
    """Change the file, and have it read."""
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in options.items()]
    (folder / "serve.toml").write_text("".join(lines))
    done = server.run("reload")
    assert done.returncode == 0, done.stderr


def test_restarts_are_counted_as_told_now(server: ServerProcess, tmp_path: Path) -> None:
    reload(server, tmp_path, restart_intensity=1, restart_period=1000)
    for serial in (before := server.hub(0)["serial"], before + 1):
        server.wait_for(
            lambda serial=serial: (row := server.hub(0))["serial"] == serial and row["state"] == "serving"
        )
        os.kill(server.hub(0)["pid"], signal.SIGKILL)
    assert server.wait() == RESTARTS
    assert "hubs ended 2 times within 1000 s, and at most 1 restarts are allowed" in server.log


def test_silent_hubs_are_reported_and_killed_as_told_now(server: ServerProcess, tmp_path: Path) -> None:
    reload(server, tmp_path, hang_timeout=0.5, kill_timeout=1.5)
    before = server.hub(0)
    os.kill(before["pid"], signal.SIGSTOP)
    server.wait_for(lambda: "(--kill-timeout): killed" in server.log)
    server.wait_for(lambda: server.hub(0)["pid"] != before["pid"])


def test_the_log_is_written_as_told_now(server: ServerProcess, tmp_path: Path) -> None:
    reload(server, tmp_path, log_format="json")
    server.wait_for(lambda: "and the old one has ended" in server.log)
    line = json.loads(server.log.splitlines()[-1])
    assert line["message"].startswith("reload: generation 2 serves")
    reload(server, tmp_path, log_level="error")
    said = server.log
    os.kill(server.hub(0)["pid"], signal.SIGKILL)  # a warning, and how it starts again
    server.wait_for(lambda: server.hub(0)["restarts"] == 1 and server.hub(0)["state"] == "serving")
    assert server.log == said


def test_whoever_stops_the_server_waits_as_long_as_it_is_told_now(
    server: ServerProcess, connect: Connect, tmp_path: Path
) -> None:
    directory = RuntimeDir(str(server.runtime_dir))
    assert (holder := directory.holder()) is not None and holder.drain_timeout == 0.5
    reload(server, tmp_path, drain_timeout=PATIENCE)
    assert (holder := directory.holder()) is not None and holder.drain_timeout == PATIENCE
    call = connect(server.address).begin_slow_call(1)
    server.wait_for(lambda: [row["calls"] for row in server.connections()] == [1])
    assert server.run("stop").returncode == 0
    assert call.result().number == 1


def test_a_hub_that_is_told_to_end_has_the_time_that_is_given_now(
    server: ServerProcess, connect: Connect, tmp_path: Path
) -> None:
    reload(server, tmp_path, drain_timeout=PATIENCE)
    call = connect(server.address).begin_slow_call(1)
    server.wait_for(lambda: [row["calls"] for row in server.connections()] == [1])
    os.kill(server.hub(0)["pid"], signal.SIGTERM)
    assert call.result().number == 1


def test_a_server_that_gives_up_ends_as_it_is_told_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has told it to stop, so that it asked only then."""
    timeouts: list[float] = []
    later = Config(hang_timeout=0.0, kill_timeout=0.0, drain_timeout=0.25, restart_intensity=1)
    with pytest.raises(TooManyRestarts), supervised(monkeypatch, drain_timeout=7.0) as server:
        server.deployment.read_again = lambda: later
        for process in (successors := server.successors()):
            process.start()
        server.until_phase("done")
        server.supervisor.on_stopping = timeouts.append
        for process in successors:
            process.die()
        server.until(lambda: timeouts)
    assert timeouts == [0.25]
