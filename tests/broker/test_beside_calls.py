"""What an app does beside calls, in real hubs: its hooks, and what greenlets and threads publish."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.fixtures import Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE

APP = "tests.apps.beside:app"


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> ServerProcess:
    return serve(app=APP, cwd=tmp_path)


def events(folder: Path, what: str) -> list[int]:
    """The pids of the hubs to which that has happened."""
    lines = [line.split() for line in (folder / "events").read_text().splitlines()]
    return [int(pid) for event, pid in lines if event == what]


def pids(server: ServerProcess) -> list[int]:
    return [row["pid"] for row in server.status()["hubs"]]


class Listener:
    """Who hears all that is published, each message once and each publisher's in order."""

    def __init__(self, stub: Any) -> None:
        self.replies = stub.Listen(Item(text="beside"), timeout=4 * PATIENCE)
        assert dict(self.replies.initial_metadata()) == {"listening": "yes"}
        #: The last number, by publisher.
        self.last: dict[str, int] = {}

    def hear(self) -> str:
        """The next message: who published it."""
        item = next(self.replies)
        if item.text in self.last and not item.text.startswith(("start", "stop")):
            assert item.number == self.last[item.text] + 1, f"{item.text}: {item.number} after {self.last}"
        self.last[item.text] = item.number
        return str(item.text)

    def until(self, *wanted: str, more: int = 1) -> None:
        """Hear until each of these has published so much more."""
        count: defaultdict[str, int] = defaultdict(int)
        while not all(count[each] >= more for each in wanted):
            count[self.hear()] += 1


@contextmanager
def listening(server: ServerProcess) -> Iterator[Listener]:
    with grpc.insecure_channel(server.address) as channel:
        yield Listener(StatefulStub(channel))


def publishers(pids: list[int]) -> list[str]:
    return [f"{who} {pid}" for pid in pids for who in ("greenlet", "thread-0", "thread-1")]


def test_all_comes_in_order_while_connections_move(server: ServerProcess) -> None:
    all = publishers(pids(server))
    with listening(server) as listener:
        listener.until(*all)
        for _ in range(6):
            (row,) = server.connections()
            assert server.move(row["id"], 1 - row["hub"]) == ""
            listener.until(*all, more=20)


def test_the_hubs_of_a_reload_start_and_those_before_stop(server: ServerProcess, tmp_path: Path) -> None:
    old = pids(server)
    with listening(server) as listener:
        listener.until(*publishers(old))
        assert server.run("reload").returncode == 0
        new = pids(server)
        # What a new hub publishes at its start, and an old one at its end, is heard too.
        listener.until(*[f"start {pid}" for pid in new], *[f"stop {pid}" for pid in old], *publishers(new))
    assert sorted(events(tmp_path, "start")) == sorted(old + new)
    assert sorted(events(tmp_path, "stop")) == sorted(old)
    assert server.run("stop").returncode == 0
    assert server.wait() == 0
    assert sorted(events(tmp_path, "stop")) == sorted(old + new)


def test_of_new_hubs_that_cannot_start_nothing_is_heard(server: ServerProcess, tmp_path: Path) -> None:
    old = pids(server)
    with listening(server) as listener:
        (tmp_path / "how").write_text("raise")
        reloaded = server.run("reload")
        assert reloaded.returncode == 1
        assert f"app '{APP}': on_start raised ZeroDivisionError: there is no database" in reloaded.stderr
        assert "in on_start" in reloaded.stderr and "Traceback" in reloaded.stderr
        assert pids(server) == old
        listener.until(*publishers(old), more=5)
        started = {*events(tmp_path, "start")} - {*old}
        assert started and not any(f"start {pid}" in listener.last for pid in started)
    assert events(tmp_path, "stop") == []


def test_a_hub_that_is_killed_does_not_stop_the_app(server: ServerProcess, tmp_path: Path) -> None:
    victim, _ = pids(server)
    os.kill(victim, signal.SIGKILL)
    server.wait_for(
        lambda: server.hub(0)["pid"] not in (victim, None) and server.hub(0)["state"] == "serving"
    )
    assert len(events(tmp_path, "start")) == 3
    with listening(server) as listener:
        listener.until(*publishers(pids(server)))
    server.run("stop")
    server.wait()
    assert len(events(tmp_path, "stop")) == 2 and victim not in events(tmp_path, "stop")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", f"app '{APP}': on_start raised ZeroDivisionError: there is no database ("),
        ("block", "still does not serve after 4 s (--start-timeout)"),
    ],
)
def test_a_server_whose_app_cannot_start_ends(serve: Serve, tmp_path: Path, how: str, said: str) -> None:
    (tmp_path / "how").write_text(how)
    server = serve("--start-timeout", 4, app=APP, cwd=tmp_path, hubs=1, ready=False)
    assert server.read_line() == ""
    assert server.wait() == 2
    assert said in server.log
    if how == "block":
        assert f"on_start of {APP} goes on for long, and waits here:" in server.log
        assert "in on_start" in server.log
