"""Reloads in which something goes wrong, or is unusual: no client notices."""

from __future__ import annotations

import concurrent.futures
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from actorrpc.cli import deploy
from actorrpc.pb.admin_pb2 import Request
from tests.support.counting_client import CountingClient
from tests.support.fixtures import Follow, Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE

Connect = Callable[[str], CountingClient]


def until_phase(server: ServerProcess, phase: str) -> list[Any]:
    """Wait until a reload is there. Returns the hubs' rows."""
    server.wait_for(lambda: (reload := server.status()["reload"]) and reload["phase"] == phase)
    rows: list[Any] = server.status()["hubs"]
    return rows


def test_sighup_to_the_whole_group_reloads_and_disconnects_nobody(serve: Serve, connect: Connect) -> None:
    """As from a terminal that is closed."""
    server = serve()
    clients = [connect(server.address) for _ in range(4)]
    for client in clients:
        client.call()
    before = {row["id"] for row in server.connections()}
    os.killpg(server.pid, signal.SIGHUP)
    os.killpg(server.pid, signal.SIGHUP)  # while new hubs start, to whom it is nothing either
    rows = until_phase(server, "done")
    assert [(row["generation"], row["restarts"]) for row in rows] == [(2, 0), (2, 0)]
    for client in clients:
        client.call()
    assert {row["id"] for row in server.connections()} == before


def test_a_successor_that_is_stopped_does_not_keep_what_should_go_to_it(
    serve: Serve, connect: Connect
) -> None:
    server = serve("--drain-timeout", 8)  # which passes: the successor takes none of its topics
    client = connect(server.address)
    client.call()
    (before,) = server.connections()
    slow = client.begin_slow_call(3)
    server.wait_for(lambda: "running" in server.connections()[0]["why"])
    server.request(Request(reload=Request.Reload()))
    rows = until_phase(server, "moving")
    successor = rows[before["hub"]]
    assert successor["generation"] == 2
    os.kill(successor["pid"], signal.SIGSTOP)
    try:
        assert slow.result().number == 2
        until_phase(server, "done")
        client.call()
    finally:
        os.kill(successor["pid"], signal.SIGCONT)
    (after,) = server.connections()
    assert after["id"] == before["id"] and after["hub"] == 1 - before["hub"]


#: Hubs of it die at once when there is such a file, also those that start again.
DOOMED = """
import os, threading, time
from tests.apps.shapes import app

def watch():
    while not os.path.exists("doom"):
        time.sleep(0.01)
    os._exit(9)

threading.Thread(target=watch, daemon=True).start()
"""


def begin_doomed(server: ServerProcess, folder: Path) -> None:
    """Reload to hubs that serve, and then die again and again. Waits until nobody takes what the old ones
    have."""
    (folder / "code.py").write_text(DOOMED)
    server.request(Request(reload=Request.Reload()))
    until_phase(server, "moving")
    (folder / "doom").touch()
    server.wait_for(lambda: server.status()["reload"]["stalled"])


@pytest.fixture
def healthy(serve: Serve, tmp_path: Path) -> ServerProcess:
    (tmp_path / "code.py").write_text("from tests.apps.shapes import app\n")
    return serve(app="code:app", cwd=tmp_path)


def test_new_hubs_that_die_again_and_again_are_replaced_by_another_reload(
    healthy: ServerProcess, connect: Connect, tmp_path: Path
) -> None:
    client = connect(healthy.address)
    client.call()
    slow = client.begin_slow_call(PATIENCE)  # it keeps the connection here
    healthy.wait_for(lambda: "running" in healthy.connections()[0]["why"])
    (before,) = healthy.connections()
    begin_doomed(healthy, tmp_path)
    again = healthy.run("reload", "--drain-timeout", 0.2)  # still the same code, and it dies while it starts
    assert again.returncode == 1 and "generation 3 is abandoned" in again.stderr
    old = [row for row in healthy.status()["hubs"] if row["generation"] == 1]
    assert [row["state"] for row in old] == ["serving", "serving"]
    for _ in range(4):  # to any queue
        other = connect(healthy.address)
        other.call()
    assert all(row["generation"] == 1 for row in old)
    stays = {why: count for row in old for why, count in row["draining"]["stays"].items()}
    assert stays == {"no hub is there to take it": 1}
    (tmp_path / "doom").unlink()
    slow.cancel()
    mended = healthy.run("reload")
    assert mended.returncode == 0, mended.stderr
    assert mended.stdout.splitlines()[-1].startswith("generation 4 serves: ")
    after = healthy.connections()
    assert before["id"] in [row["id"] for row in after] and len(after) == 5
    assert {row["generation"] for row in healthy.status()["hubs"]} == {4}
    assert "no hub is there to take what hub" in healthy.log


def test_the_command_ends_when_new_hubs_die_again_and_again(healthy: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(DOOMED)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        client = CountingClient(healthy.address)
        client.call()
        slow = client.begin_slow_call(PATIENCE)
        healthy.wait_for(lambda: "running" in healthy.connections()[0]["why"])
        command = pool.submit(healthy.run, "reload", "--drain-timeout", 5)
        until_phase(healthy, "moving")
        (tmp_path / "doom").touch()
        done = command.result(PATIENCE)
        slow.cancel()
        client.close()
    assert done.returncode == 1
    assert "no new hub serves: the old ones serve on until one does" in done.stdout
    assert "generation 2 does not serve for all: none of its hubs serves" in done.stderr
    assert healthy.run("stop").returncode == 0, "also in this state"
    assert healthy.wait() == 0


def test_another_broker_takes_old_hubs_over_that_serve_on(
    healthy: ServerProcess, follow: Follow, connect: Connect, tmp_path: Path
) -> None:
    client = connect(healthy.address)
    client.call()
    slow = client.begin_slow_call(PATIENCE)
    healthy.wait_for(lambda: "running" in healthy.connections()[0]["why"])
    begin_doomed(healthy, tmp_path)
    (before,) = healthy.connections()
    os.kill(healthy.pid, signal.SIGKILL)
    healthy.wait()
    connect(healthy.address).call()
    server = follow(healthy, app="code:app", cwd=tmp_path)
    server.wait_for(lambda: server.status()["reload"]["stalled"])
    connect(server.address).call()
    (tmp_path / "doom").unlink()
    slow.cancel()
    assert server.run("reload").returncode == 0
    assert before["id"] in [row["id"] for row in server.connections()]


def test_what_keeps_several_here_is_one_reason(serve: Serve, connect: Connect) -> None:
    """Though it has done so for longer for one than for the other."""
    server = serve(hubs=1)
    calls = []
    for _ in range(2):
        client = connect(server.address)
        client.call()
        calls.append(client.begin_slow_call(PATIENCE))
        server.wait_for(lambda: [row["running"] > 0.2 for row in server.connections()] == [True] * len(calls))
    (reason,) = {row["why"] for row in server.connections()}
    done = server.run("reload", "--drain-timeout", 0.5)
    assert done.returncode == 0
    assert f"2 of 2 connections cannot move now: {reason}\n" in done.stdout
    assert "2 connections could not move and are ended: " in server.log
    assert server.log.count(f" ({reason})") == 2
    for call in calls:
        call.exception()


def test_successors_have_the_time_to_start_that_the_options_say_now(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, time\n"
        "time.sleep(1000 if os.path.exists('sleepy') else 0)\n"
        "from tests.apps.shapes import app\n"
    )
    config = tmp_path / "serve.toml"
    config.write_text("start_timeout = 60\n")
    server = serve("--config", config, app="slow:app", cwd=tmp_path, hubs=1)
    (tmp_path / "sleepy").touch()
    config.write_text("start_timeout = 3\n")
    reloaded = server.run("reload")
    assert reloaded.returncode == 1
    assert (
        "generation 2 is abandoned: hub 0 still does not serve after 3 s (--start-timeout)" in reloaded.stderr
    )
    assert server.hub(0)["state"] == "serving"


def test_a_bar_says_that_no_new_hub_serves() -> None:
    """Though nothing moves meanwhile."""
    before = {"phase": "moving", "moved": 1, "left": 3, "stays": {}, "stalled": 0.0}
    states = [before, {**before, "stalled": 2.0}, {**before, "phase": "done", "moved": 4, "left": 0}]
    shown = io.StringIO()
    with mock.patch("sys.stdout", shown), mock.patch.object(shown, "isatty", lambda: True):
        assert [*deploy._draw_bar(iter(states))] == states
    assert "moved (no new hub serves)" in shown.getvalue()
    assert shown.getvalue().rpartition("moved  ")[2].rstrip("\x1b[?25h\n ").endswith("4/4")
