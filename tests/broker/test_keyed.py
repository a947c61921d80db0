"""Keyed actors of real hubs: reached over any connection, shown, moved by hand and by a reload, and ended."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.server_process import ServerProcess
from tests.support.waiting import PATIENCE, until

#: What a release of the app is: rooms that note where they are passivated, and in which release that is.
RELEASE = """
from pathlib import Path

import actorrpc
from tests.apps import rooms

RELEASE = %(release)d


class Room(rooms.Room):
    state_version = RELEASE

    @classmethod
    def upgrade(cls, old_version, state):
        if "cursed" in state.notes:
            raise ValueError("this room cannot be upgraded")
        state.notes.append(f"upgraded from {old_version}")
        return state

    def Post(self, request, call):
        if request.text == "curse":
            self.state.notes.append("cursed")
        if request.text == "hold the loop":  # so that the hub says nothing more
            with Path(__file__).with_name("held").open("a") as file:
                print(self.key, file=file)
            while True:
                pass
        return super().Post(request, call)

    def on_passivate(self):
        with Path(__file__).with_name("passivated").open("a") as file:
            print(self.key, RELEASE, self.state.lines, file=file)


app = actorrpc.App([Room])
"""


class Rooms:
    """A server of two hubs, and clients with connections of their own."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        self.folder = folder
        self.release(1)
        self.server = ServerProcess("--accept", "acceptor", folder=folder, app="release:app", cwd=folder)
        cleanup.callback(self.server.close)
        self.server.until_ready()
        own = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(self.server.address, own) for _ in range(4)]
        for channel in channels:
            cleanup.enter_context(channel)
        #: Two on each hub.
        self.stubs = [RoomStub(channel) for channel in channels]

    def release(self, number: int) -> None:
        (self.folder / "release.py").write_text(RELEASE % {"release": number})

    def post(self, room: str, client: int = 0, text: str = "") -> int:
        line = Line(room=room, text=text)
        number: int = self.stubs[client].Post(line, timeout=PATIENCE).number
        return number

    def notes(self, room: str) -> str:
        text: str = self.stubs[0].Notes(Line(room=room), timeout=PATIENCE).text
        return text

    def actors(self) -> dict[str, dict[str, Any]]:
        """What `actorrpc actors --json` says, by key."""
        done = self.server.run("actors", "--json")
        assert done.returncode == 0, done.stderr
        return {row["key"]: row for row in json.loads(done.stdout)}

    @property
    def passivated(self) -> list[str]:
        """Those that have been, with the release and the lines of each."""
        return sorted((self.folder / "passivated").read_text().splitlines())


@pytest.fixture
def rooms(tmp_path: Path) -> Iterator[Rooms]:
    with ExitStack() as cleanup:
        yield Rooms(tmp_path, cleanup)


def test_their_life(rooms: Rooms) -> None:
    # Whichever connection a call comes over, and so whichever hub, it is for the one actor.
    assert [rooms.post("a", client) for client in (0, 1, 2, 3)] == [1, 2, 3, 4]
    assert {row["hub"] for row in rooms.server.connections()} == {0, 1}
    assert [rooms.post("b", client) for client in (3, 0)] == [1, 2]
    shown = rooms.actors()
    assert sorted(shown) == ["a", "b"]
    a = shown["a"]
    assert (a["service"], a["movable"], a["why"], a["calls"]) == ("rooms.Room", True, "", 0)
    assert a["state_bytes"] > 0 and a["idle"] >= 0

    # By hand.
    other = 1 - a["hub"]
    moved = rooms.server.run("move", "rooms.Room/a", other)
    assert moved.returncode == 0, moved.stderr
    assert f"hub {other}" in moved.stdout
    assert rooms.actors()["a"]["hub"] == other
    assert [rooms.post("a", client) for client in (0, 1, 2, 3)] == [5, 6, 7, 8]
    absent = rooms.server.run("move", "rooms.Room/nobody", 0)
    assert "no such actor: rooms.Room/nobody" in absent.stderr

    # By a reload: four connections, and two actors.
    done = rooms.server.run("reload")
    assert done.returncode == 0, done.stderr + rooms.server.log
    assert "generation 2 serves: 6 moved in" in done.stdout
    assert {row["generation"] for row in rooms.actors().values()} == {2}
    assert [rooms.post("a"), rooms.post("b")] == [9, 3]
    assert rooms.notes("b").split() == ["activate", "b", "freeze", "thaw"]

    assert rooms.server.run("stop").returncode == 0
    rooms.server.wait()
    assert rooms.passivated == ["a 1 9", "b 1 3"]


def test_one_that_cannot_be_upgraded_stays_until_the_time_is_up(rooms: Rooms) -> None:
    assert [rooms.post("a"), rooms.post("b", text="curse")] == [1, 1]
    rooms.release(2)
    done = rooms.server.run("reload", "--drain-timeout", 3)
    assert done.returncode == 0, done.stderr + rooms.server.log
    assert "; 1 ended: rooms.Room/b (" in done.stdout
    assert "this room cannot be upgraded" in done.stdout + rooms.server.log
    assert "1 left; 1 stay: " in done.stdout, "while it is waited for"
    # Its hub has ended with it, as it ends all: on_passivate has run there. The next one begins anew.
    assert rooms.passivated == ["b 1 1"]
    assert [rooms.post("a"), rooms.post("b")] == [2, 1]
    assert "upgraded from 1" in rooms.notes("a")


def test_a_call_that_may_have_run_is_not_sent_again_when_its_hub_dies(rooms: Rooms) -> None:
    """Nor is one that the hub has not even read, since a turn held its loop: they look alike."""
    hub_of: dict[int, int] = {}
    known: set[str] = set()
    for client in range(4):
        rooms.post("a", client)
        (row,) = [row for row in rooms.server.connections() if row["id"] not in known]
        known.add(row["id"])
        hub_of[client] = row["hub"]
    there = rooms.actors()["a"]["hub"]
    (pid,) = [hub["pid"] for hub in rooms.server.status()["hubs"] if hub["id"] == there]
    client = next(client for client, hub in hub_of.items() if hub != there)
    rooms.post("beside", client)
    line = Line(room="a", text="hold the loop")
    asked = [rooms.stubs[client].Post.future(line, timeout=PATIENCE)]
    held = rooms.folder / "held"
    until(lambda: held.exists() and held.read_text() == "a\n")
    asked.append(rooms.stubs[client].Post.future(line, timeout=PATIENCE))
    rooms.post("beside", client)  # so by now the other hub has sent it, to one that does not read
    os.kill(pid, signal.SIGKILL)
    assert {each.exception().code() for each in asked} == {grpc.StatusCode.UNAVAILABLE}
    # A call that had been sent again would hold the hub where the key lives now.
    until(lambda: all(answers(rooms, client) for client in range(4)))
    assert held.read_text() == "a\n"


def answers(rooms: Rooms, client: int) -> bool:
    """Whether the client has a connection, perhaps a new one, and the room lives."""
    try:
        return rooms.post("a", client) > 0
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
