"""The exit statuses of docs/operate/exits.md, as processes give them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.broker.test_log import kill_hub
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC, ROOT, actorrpc, environment
from tests.support.server_process import ServerProcess
from tests.support.waiting import until


def stopped_by(server: ServerProcess, signum: signal.Signals) -> int:
    os.kill(server.pid, signum)
    return server.wait()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped(serve: Serve, signum: signal.Signals) -> None:
    assert stopped_by(serve(hubs=1), signum) == 0


def test_a_server_that_stops_by_command(serve: Serve) -> None:
    server = serve(hubs=1)
    assert server.run("stop").returncode == 0
    assert server.wait() == 0


def test_a_server_whose_hubs_do_not_end(serve: Serve) -> None:
    """They are stopped as processes are by SIGSTOP, and a second Ctrl-C has them killed."""
    server = serve("--drain-timeout", 600, hubs=1)
    os.kill(server.hub(0)["pid"], signal.SIGSTOP)
    os.kill(server.pid, signal.SIGINT)
    until(lambda: server.status()["hubs"][0]["state"] == "stopping")
    assert stopped_by(server, signal.SIGINT) == 0


def test_a_hub_that_dies_ends_nothing(serve: Serve) -> None:
    server = serve(hubs=1)
    kill_hub(server)
    assert stopped_by(server, signal.SIGTERM) == 0


def test_a_broker_that_fails(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "import gevent, signal\n"
        "from actorrpc.balancing.policies.simple import Nothing\n"
        "def fail(*_):\n"
        "    hub = gevent.get_hub()\n"
        "    hub.loop.run_callback(hub.parent.throw, OSError(28, 'No space left on device'))\n"
        "signal.signal(signal.SIGUSR1, fail)\n"
    )
    server = serve("--policy", "failing:Nothing", hubs=1, cwd=tmp_path)
    assert stopped_by(server, signal.SIGUSR1) == 1
    assert " CRITICAL broker: this process ends with an error that nothing has caught\n" in server.log
    assert "No space left on device" in server.log


def test_a_broker_that_is_killed(serve: Serve) -> None:
    server = serve(hubs=1)
    pid = server.hub(0)["pid"]
    assert stopped_by(server, signal.SIGKILL) == -9
    assert server.run("stop").returncode == 0
    until(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--hubs", "none"), "Invalid value for '--hubs'"),
        (("--config", "/nowhere.toml"), "cannot read /nowhere.toml: No such file or directory"),
        (("--policy", "no_such:Policy"), "No module named 'no_such'"),
        (("--bind", "203.0.113.1:1"), "cannot listen on 203.0.113.1:1: Cannot assign requested address"),
        (("--hubs", "1000000"), "there may be 1000 hubs at most, not 1000000"),
    ],
)
def test_a_server_that_cannot_start(serve: Serve, options: tuple[str, ...], error: str) -> None:
    server = serve(*options, ready=False)
    assert server.wait() == 2
    assert error in server.log
    assert server.log.count("\n") == 1


def test_commands_that_ask(serve: Serve, tmp_path: Path) -> None:
    server = serve(hubs=1)
    assert server.run("status").returncode == 0
    assert server.run("move", "0-1-1", "7").returncode == 2
    os.kill(server.pid, signal.SIGSTOP)
    asking = subprocess.Popen(
        [*ACTORRPC, "status", "--runtime-dir", str(server.runtime_dir)],
        cwd=ROOT, env=environment(), stderr=subprocess.PIPE,
    )  # fmt: skip
    until(lambda: asks(asking.pid))
    asking.send_signal(signal.SIGINT)
    assert asking.wait() == 130
    assert asking.communicate()[1] == b"\n"  # after the ^C of a terminal
    os.kill(server.pid, signal.SIGCONT)
    assert actorrpc("status", "--runtime-dir", tmp_path / "none").returncode == 2


def asks(pid: int) -> bool:
    """Whether a process has a socket open: it waits for an answer."""
    try:
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(link.startswith("socket:") for link in links)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("full", "actorrpc: error: cannot write to standard output: No space left on device\n"),
        ("gone", ""),
    ],
)
def test_output_that_cannot_be_written(unbuffered: str, to: str, error: str) -> None:
    reader, end = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*ACTORRPC, "serve", "--help"],
            cwd=ROOT,
            env={**environment(), "PYTHONUNBUFFERED": unbuffered},
            stdout=full if to == "full" else end,
            stderr=subprocess.PIPE,
            text=True,
        )
    os.close(end)
    assert (done.returncode, done.stderr) == (1, error)


def test_help_tells_the_statuses() -> None:
    for arguments in (["--help"], ["serve", "--help"]):
        text = actorrpc(*arguments).stdout
        assert "Exit status:\n" in text
        for status in ("0 ", "1 ", "2 "):
            assert f"\n    {status}" in text
