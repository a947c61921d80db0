"""Threads of an app call a keyed actor, in real hubs, while that moves, and while hubs come and go."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc

from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.fixtures import Serve
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE

APP = "tests.apps.calling_threads:app"


def actors(server: ServerProcess) -> list[dict[str, Any]]:
    return json.loads(server.run("actors", "--json").stdout)  # type: ignore[no-any-return]


def replies(folder: Path) -> defaultdict[str, list[int]]:
    """By thread, what the actor has counted."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for line in (folder / "replies").read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            who, number = line.split()
            found[who].append(int(number))
    return found


def until_all_have_called(server: ServerProcess, folder: Path, more: int = 20) -> None:
    """Each thread of the hubs that serve, so many times from now."""
    callers = [f"{row['pid']}.{thread}" for row in server.status()["hubs"] for thread in range(2)]
    before = {who: len(replies(folder)[who]) for who in callers} if (folder / "replies").exists() else {}

    def called() -> bool:
        now = replies(folder)
        return all(len(now[who]) >= before.get(who, 0) + more for who in callers)

    server.wait_for(lambda: (folder / "replies").exists() and called())


def test_each_call_runs_once_and_is_answered_wherever_the_actor_is(serve: Serve, tmp_path: Path) -> None:
    server = serve(app=APP, cwd=tmp_path)
    until_all_have_called(server, tmp_path)
    for _ in range(4):
        (actor,) = actors(server)
        assert server.move("rooms.Room/counted", 1 - actor["hub"]) == ""
        until_all_have_called(server, tmp_path)
    assert server.run("reload").returncode == 0
    until_all_have_called(server, tmp_path)
    (tmp_path / "enough").touch()
    server.wait_for(lambda: len((tmp_path / "ended").read_text().splitlines()) == 8)
    with grpc.insecure_channel(server.address) as channel:
        counted = RoomStub(channel).Post(Line(room="counted"), timeout=PATIENCE).number
    assert not (tmp_path / "errors").exists()
    found = replies(tmp_path)
    assert len(found) == 8
    for numbers in found.values():  # of each thread, a call comes after what it has told
        assert all(after >= before + 2 for before, after in pairwise(numbers))
    calls = [number for numbers in found.values() for number in numbers]
    assert len({*calls}) == len(calls)
    assert counted == 2 * len(calls) + 1


def test_a_thread_that_waits_holds_up_no_stop(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "stuck").touch()
    server = serve("--drain-timeout", 0.1, app=APP, cwd=tmp_path, hubs=1)
    until_all_have_called(server, tmp_path)
    server.wait_for(lambda: len(actors(server)) == 2)
    assert (tmp_path / "stuck").read_text() == ""
    assert server.run("stop").returncode == 0
    assert server.wait() == 0
