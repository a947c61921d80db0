"""More hubs, and fewer, while real clients hold streams and call."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from actorrpc.pb.admin_pb2 import Request
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import group_members
from tests.support.server_process import ServerProcess
from tests.support.traffic import traffic
from tests.support.waiting import PATIENCE

Connect = Callable[[str], CountingClient]

in_both_modes = pytest.mark.parametrize("accept", ["reuseport", "acceptor"])


def scale(server: ServerProcess, hubs: int, *options: object) -> str:
    """Have so many hubs, and return what is printed."""
    done = server.run("scale", hubs, *options)
    assert done.returncode == 0, done.stderr + server.log
    rows = server.status()["hubs"]
    assert [row["id"] for row in rows] == list(range(hubs))
    return done.stdout


def begin(server: ServerProcess, hubs: int) -> str:
    """Begin to scale. Returns why that cannot be."""
    return server.request(Request(scale=Request.Scale(hubs=hubs))).error


def until_over(server: ServerProcess) -> dict[str, object]:
    """How the last scale has ended."""

    def over() -> dict[str, object]:
        state: dict[str, object] = server.status()["scale"]
        return state if state["phase"] in ("done", "abandoned") else {}

    return server.wait_for(over)


def spread(server: ServerProcess) -> None:
    """Move connections so that all hubs have some."""
    hubs = len(server.status()["hubs"])
    for number, row in enumerate(sorted(server.connections(), key=lambda row: row["id"])):
        assert server.move(row["id"], number % hubs) == ""


def hubs_of(server: ServerProcess) -> set[int]:
    return {row["hub"] for row in server.connections()}


@in_both_modes
def test_hubs_come_and_go_while_clients_go_on(serve: Serve, accept: str) -> None:
    server = serve("--accept", accept, "--drain-timeout", 30, hubs=1)
    with traffic(server.address, 4) as clients:
        scale(server, 4)
        clients.more(4)
        clients.go_on()
        spread(server)
        assert hubs_of(server) == {0, 1, 2, 3}
        clients.go_on()
        assert ": 4 moved" in scale(server, 2)
        assert hubs_of(server) == {0, 1}
        clients.more(4)  # also those in the queues of hubs that there are no longer
        assert hubs_of(server) == {0, 1}
        scale(server, 3)
        spread(server)
        scale(server, 1)
        clients.go_on()
    assert server.status()["moves"]["aborted"] == 0


def test_new_hubs_accept_from_queues_of_their_own(serve: Serve, connect: Connect) -> None:
    server = serve(hubs=1)
    for _ in range(2):
        scale(server, 3)
        server.wait_for(lambda: connect(server.address).call() and hubs_of(server) == {0, 1, 2})
        scale(server, 1)
        for _ in range(12):
            connect(server.address).call()
        assert hubs_of(server) == {0}


def test_what_cannot_move_is_told_to_go_when_the_time_is_up(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=2)
    client = connect(server.address)
    client.call()
    (row,) = server.connections()
    assert server.move(row["id"], 1) == ""
    call = client.begin_slow_call(PATIENCE)
    server.wait_for(lambda: server.connections()[0]["calls"] == 1)
    told = scale(server, 1, "--drain-timeout", 0.3)
    assert ": 0 moved" in told
    assert f"; 1 ended: {row['id']} (handler " in told
    assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
    server.wait_for(lambda: f"1 connection could not move and is ended: {row['id']} (" in server.log)


def test_a_hub_that_dies_when_it_is_to_go_is_not_started_again(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=2)
    client = connect(server.address)
    client.call()
    assert server.move(server.connections()[0]["id"], 1) == ""
    call = client.begin_slow_call(PATIENCE)
    server.wait_for(lambda: server.connections()[0]["calls"] == 1)
    pid = server.hub(1)["pid"]
    assert begin(server, 1) == ""
    server.wait_for(lambda: server.hub(1)["state"] == "draining")
    os.kill(pid, signal.SIGKILL)
    assert until_over(server)["phase"] == "done"
    assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
    assert len(server.status()["hubs"]) == 1
    assert "starts again" not in server.log


def test_without_a_hub_that_can_start_none_is_added(serve: Serve, connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "fragile.py").write_text(
        "import os\n"
        "if os.path.exists('broken'): raise RuntimeError('broken')\n"
        "from tests.apps.shapes import app\n"
    )
    server = serve(app="fragile:app", cwd=tmp_path, hubs=1)
    (tmp_path / "broken").touch()
    failed = server.run("scale", 3)
    assert failed.returncode == 1
    assert "there are still 1 hubs: " in failed.stderr
    assert "    Traceback (most recent call last):\n" in failed.stderr
    assert f'File "{tmp_path}/fragile.py", line 2, in <module>' in failed.stderr
    assert failed.stderr.count("RuntimeError: broken\n") == 1, "as the last line of the traceback"
    server.wait_for(lambda: f'{tmp_path}/fragile.py", line 2' in server.log)
    connect(server.address).call()
    (row,) = server.status()["hubs"]
    assert row["restarts"] == 0
    server.wait_for(lambda: len(hubs_running(server)) == 1)
    (tmp_path / "broken").unlink()
    scale(server, 3)


@pytest.fixture
def slow(serve: Serve, tmp_path: Path) -> ServerProcess:
    """A server whose next hubs do not become ready until there is a file ``go``."""
    (tmp_path / "slow.py").write_text(
        "import gevent, os\n"
        "while os.path.exists('wait') and not os.path.exists('go'): gevent.sleep(0.01)\n"
        "from tests.apps.shapes import app\n"
    )
    server = serve(app="slow:app", cwd=tmp_path, hubs=1)
    (tmp_path / "wait").touch()
    return server


def hubs_running(server: ServerProcess) -> list[int]:
    """The pids of all processes of hubs."""
    return [pid for pid in group_members(server.pid) if pid != server.pid]


def started(server: ServerProcess, hubs: int) -> list[int]:
    """The pids of so many hubs, when all have been started."""
    return server.wait_for(lambda: found if len(found := hubs_running(server)) == hubs else [])


def test_one_thing_at_a_time(slow: ServerProcess, tmp_path: Path) -> None:
    assert begin(slow, 3) == ""
    assert begin(slow, 2) == "a scale is under way already"
    assert slow.request(Request(reload=Request.Reload())).error == "a scale is under way already"
    assert slow.request(Request(drain=Request.Drain(hub=0))).error == "a scale is under way already"
    assert len(slow.status()["hubs"]) == 1
    (tmp_path / "go").touch()
    assert until_over(slow)["phase"] == "done"
    (tmp_path / "go").unlink()
    assert slow.request(Request(reload=Request.Reload())).error == ""
    assert begin(slow, 2) == "a reload is under way already"
    (tmp_path / "go").touch()
    slow.wait_for(lambda: slow.status()["reload"]["phase"] == "done")
    assert [(row["id"], row["generation"]) for row in slow.status()["hubs"]] == [(0, 2), (1, 2), (2, 2)]


def test_a_new_hub_that_dies_before_it_serves(slow: ServerProcess) -> None:
    old = {row["pid"] for row in slow.status()["hubs"]}
    assert begin(slow, 3) == ""
    new = sorted(set(started(slow, 3)) - old)
    os.kill(new[0], signal.SIGKILL)
    assert until_over(slow)["error"] == "hub 1 was killed by SIGKILL while it was starting"
    slow.wait_for(lambda: len(hubs_running(slow)) == 1)
    assert [row["pid"] for row in slow.status()["hubs"]] == [*old]


def test_a_server_may_stop_in_the_middle(slow: ServerProcess) -> None:
    assert begin(slow, 3) == ""
    started(slow, 3)
    assert slow.run("stop").returncode == 0
    assert slow.wait() == 0
    assert not group_members(slow.pid)


@pytest.mark.parametrize("hubs", [0, 1001])
def test_a_number_that_cannot_be(serve: Serve, hubs: int) -> None:
    server = serve(hubs=1)
    refused = server.run("scale", hubs)
    assert refused.returncode == 2
    assert f"there may be 1 to 1000 hubs, not {hubs}" in refused.stderr
    assert server.status()["scale"] is None


def test_too_many_for_the_limit_of_descriptors(serve: Serve) -> None:
    server = serve(hubs=1)
    open_now = len(os.listdir(f"/proc/{server.pid}/fd"))
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (open_now + 50, open_now + 50))
    refused = server.run("scale", 100)
    assert refused.returncode == 1
    assert "100 hubs need" in refused.stderr
    assert server.status()["scale"] is None
    scale(server, 2)


def test_the_last_that_takes_connections_stays(serve: Serve) -> None:
    server = serve(hubs=2)
    assert server.run("drain", 0).returncode == 0
    refused = server.run("scale", 1)
    assert refused.returncode == 1
    assert "there is no other hub to take the connections" in refused.stderr
    assert [row["state"] for row in server.status()["hubs"]] == ["draining", "serving"]
    scale(server, 3)
