"""What lists of processes show of a server's."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.broker.test_log import Connect
from tests.support.fixtures import Serve
from tests.support.processes import ACTORRPC, untitled
from tests.support.waiting import until


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


def test_processes_show_role_hub_and_load(serve: Serve, connect: Connect) -> None:
    server = serve(hubs=2)
    assert title(server.pid) == f"actorrpc: broker {server.address}"
    pids = [hub["pid"] for hub in server.status()["hubs"]]
    connect(server.address).call()
    (with_it,) = {row["hub"] for row in server.connections()}
    until(lambda: re.fullmatch(rf"actorrpc: hub {with_it}, 1 connection, \d+ %", title(pids[with_it])))
    other = 1 - with_it
    until(lambda: re.fullmatch(rf"actorrpc: hub {other}, 0 connections, \d+ %", title(pids[other])))


def test_a_hub_that_stops_shows_it(serve: Serve, connect: Connect) -> None:
    server = serve(hubs=1)
    slow = connect(server.address).begin_slow_call(3.0)
    until(lambda: server.hub(0)["connections"])
    pid = server.hub(0)["pid"]
    os.kill(pid, signal.SIGTERM)
    until(lambda: title(pid).startswith("actorrpc: hub 0, stopping, 1 connection, "))
    assert slow.result()


def test_without_setproctitle_processes_keep_their_command_lines(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "hidden"
    folder.mkdir()
    path = untitled(folder)["PYTHONPATH"]
    server = serve(hubs=1, program=("env", f"PYTHONPATH={path}", *ACTORRPC, "serve"))
    assert "serve" in title(server.pid).split("\0")
    assert "actorrpc.hub" in title(server.hub(0)["pid"]).split("\0")
