"""SIGTERM to one hub: what it has goes to others before it ends, while real clients hold streams and call."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.support.counting_client import CountingClient
from tests.support.fixtures import Serve
from tests.support.processes import group_members
from tests.support.server_process import ServerProcess
from tests.support.traffic import traffic
from tests.support.waiting import PATIENCE, until

Connect = Callable[[str], CountingClient]

in_both_modes = pytest.mark.parametrize("accept", ["reuseport", "acceptor"])


def terminate(server: ServerProcess, *hubs: int) -> None:
    """Tell hubs to end, and wait until their next processes serve."""
    rows = [server.hub(hub) for hub in hubs]
    for row in rows:
        os.kill(row["pid"], signal.SIGTERM)

    def again() -> bool:
        now = server.status()["hubs"]
        return all(
            now[row["id"]]["restarts"] == row["restarts"] + 1 and now[row["id"]]["state"] == "serving"
            for row in rows
        )

    server.wait_for(again)


def on_hub(server: ServerProcess, client: CountingClient, hub: int) -> Any:
    """Have the only connection on a hub, with a call whose handler takes long. Returns the call."""
    client.call()
    assert server.move(server.connections()[0]["id"], hub) == ""
    call = client.begin_slow_call(PATIENCE)
    server.wait_for(lambda: server.connections()[0]["calls"] == 1)
    return call


@in_both_modes
def test_clients_of_a_hub_that_is_to_end_go_on(serve: Serve, accept: str) -> None:
    server = serve("--accept", accept, "--drain-timeout", 30, hubs=2)
    with traffic(server.address, 6) as clients:
        for hub in (0, 1, 0):
            terminate(server, hub)
            clients.go_on()
    assert server.log.count("exited with status 0") == 3
    assert "could not move" not in server.log


@in_both_modes
def test_all_hubs_may_be_told_at_once(serve: Serve, accept: str) -> None:
    """One goes first; the others wait until it is there again."""
    server = serve("--accept", accept, "--drain-timeout", 30, hubs=2)
    with traffic(server.address, 6):
        terminate(server, 0, 1)
    assert "could not move" not in server.log


def test_a_call_may_end_before_its_connection_moves(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=2)
    client = connect(server.address)
    client.call()
    assert server.move(server.connections()[0]["id"], 0) == ""
    call = client.begin_slow_call(5)
    server.wait_for(lambda: server.connections()[0]["calls"] == 1)
    os.kill(server.hub(0)["pid"], signal.SIGTERM)
    server.wait_for(lambda: server.hub(0)["state"] == "draining")
    assert call.result().number == 2
    server.wait_for(lambda: server.connections()[0]["hub"] == 1)
    client.call()


def test_a_second_signal_ends_it_as_it_is(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=2)
    call = on_hub(server, connect(server.address), 0)
    pid = server.hub(0)["pid"]
    os.kill(pid, signal.SIGTERM)
    server.wait_for(lambda: server.hub(0)["state"] == "draining")
    os.kill(pid, signal.SIGTERM)
    server.wait_for(lambda: server.hub(0)["state"] == "stopping")
    assert "could not move" not in server.log  # that is said when the time is up
    assert server.run("stop", "--drain-timeout", 0).returncode == 0
    assert call.exception().code() is grpc.StatusCode.UNAVAILABLE


def test_what_cannot_move_is_told_to_go_when_the_time_is_up(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", 0.5, hubs=2)
    call = on_hub(server, connect(server.address), 0)
    terminate(server, 0)
    assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
    # The log is written beside all else: the client may be faster.
    until(lambda: "hub 0: 1 connection could not move and is ended: " in server.log)


def test_the_only_hub_does_not_wait_for_others(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=1)
    connect(server.address).call()
    terminate(server, 0)
    assert "could not move" not in server.log


def test_a_hub_ends_by_itself_when_the_broker_does_not_answer(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", 0.5, hubs=2)
    pid = server.hub(0)["pid"]
    os.kill(server.pid, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGTERM)
        until(lambda: ended(pid))
    finally:
        os.kill(server.pid, signal.SIGCONT)
    server.wait_for(lambda: server.hub(0)["state"] == "serving")


def ended(pid: int) -> bool:
    """Whether a process has ended, also one that its parent has not asked for yet."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_without_a_broker_the_others_take_what_it_has(serve: Serve, connect: Connect) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=3)
    client = connect(server.address)
    client.call()
    (row,) = server.connections()
    pid = server.hub(row["hub"])["pid"]
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    os.kill(pid, signal.SIGTERM)
    until(lambda: ended(pid))
    client.call()
    assert len(group_members(server.pid)) == 2
    began = time.monotonic()
    assert server.run("stop").returncode == 0
    assert time.monotonic() - began < PATIENCE / 2, "they do not wait for each other"
    until(lambda: not group_members(server.pid))


@pytest.mark.parametrize("how", ["stop", "signals"])
def test_a_server_may_be_stopped_at_once(serve: Serve, connect: Connect, how: str) -> None:
    server = serve("--drain-timeout", PATIENCE, hubs=2)
    call = on_hub(server, connect(server.address), 0)
    began = time.monotonic()
    if how == "stop":
        assert server.run("stop", "--drain-timeout", 0).returncode == 0
    else:
        server.process.terminate()
        server.wait_for(lambda: server.hub(0)["state"] == "stopping")
        server.process.terminate()
    assert server.wait() == 0
    assert time.monotonic() - began < PATIENCE / 2
    assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
