"""Keyed actors in a server in a thread: where they live, moves at will, and hubs that die."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc import testing
from tests.apps.rooms import Room, app
from tests.apps.rooms_actorrpc import RoomBase, RoomStub
from tests.apps.rooms_pb2 import Line, RoomState
from tests.apps.shapes import Stateful
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.waiting import PATIENCE, until

pytest_plugins = ["actorrpc.testing.fixtures"]


@pytest.fixture
def server() -> Iterator[testing.Server]:
    with testing.serve(app, hubs=3) as server:
        yield server


def post(stub: Any, room: str = "a", **also: Any) -> int:
    """One call; how many the actor has had."""
    number: int = stub.Post(Line(room=room, **also), timeout=PATIENCE).number
    return number


def homes(server: testing.Server) -> dict[str, int]:
    return {actor.key: actor.hub for actor in server.actors}


def listen(stub: Any, room: str) -> Any:
    """A stream from an actor, which has begun."""
    listening = stub.Listen(Line(room=room), timeout=PATIENCE)
    assert dict(listening.initial_metadata())["room"] == room
    return listening


def test_actors_are_listed_and_moved(server: testing.Server) -> None:
    stub = RoomStub(server.channel())
    assert server.actors == []
    listening = listen(stub, "b")
    post(stub)
    a, b = server.actors
    assert (a.id, a.service, a.key, a.calls, b.id, b.calls) == (
        "rooms.Room/a",
        "rooms.Room",
        "a",
        0,
        "rooms.Room/b",
        1,
    )
    for hub in (1, 2, 0):
        server.move(a.id, hub)
        assert homes(server)["a"] == hub
    server.move(a.id)
    assert homes(server)["a"] == 1, "the next hub"
    assert post(stub) == 2
    assert server.moves == 4 - (a.hub == 1)
    listening.cancel()


def test_what_is_not_there(server: testing.Server) -> None:
    post(RoomStub(server.channel()))
    with pytest.raises(LookupError, match=r"no actor rooms\.Room/b"):
        server.move("rooms.Room/b", 1)
    with pytest.raises(LookupError, match="hub 3 is not there"):
        server.move("rooms.Room/a", 3)


def test_what_does_not_move_says_why(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, config=actorrpc.Config(quiesce_timeout=0.01))
    stub = RoomStub(server.channel())
    running = stub.Beside.future(Line(room="a", sleep=PATIENCE), timeout=PATIENCE)
    until(lambda: [actor for actor in server.actors if actor.calls])
    with pytest.raises(testing.NotMoved, match=r"rooms\.Room/a: .*Beside"):
        server.move("rooms.Room/a")
    running.cancel()


def test_all_move(server: testing.Server) -> None:
    stub = RoomStub(server.channel())
    for room in "abc":
        post(stub, room)
    before = homes(server)
    server.move_all()
    assert homes(server) == {key: (hub + 1) % 3 for key, hub in before.items()}
    assert [connection.hub for connection in server.connections] == [1]
    assert [post(stub, room) for room in "abc"] == [2, 2, 2]


def test_actors_move_by_themselves(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, move_every=1)
    stub = RoomStub(server.channel())
    assert [post(stub) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    notes = stub.Notes(Line(room="a"), timeout=PATIENCE).text.split()
    assert notes[:2] == ["activate", "a"]
    assert notes.count("freeze") >= 6


# ---- hubs that die


def test_the_actors_of_a_hub_die_with_it(server: testing.Server) -> None:
    stub = RoomStub(server.channel())
    for room in "abc":
        assert post(stub, room) == 1
    for room, hub in (("a", 0), ("b", 1), ("c", 2)):
        server.move(f"rooms.Room/{room}", hub)
    streams = [listen(stub, room) for room in "abc"]
    server.kill_hub(1)
    assert homes(server) == {"a": 0, "c": 2}
    with pytest.raises(grpc.RpcError) as error:
        next(streams[1])
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "the hub has ended" in error.value.details()
    assert [post(stub, room) for room in "abc"] == [2, 1, 2]
    assert [next(streams[each]).number for each in (0, 2)] == [2, 2]
    assert stub.Notes(Line(room="b"), timeout=PATIENCE).text == "activate b", "a new one"
    assert homes(server)["b"] in (0, 2)
    server.move("rooms.Room/a", 2)
    server.move("rooms.Room/a")
    assert homes(server)["a"] == 0, "the next hub that lives"
    for gone in (1, 3):
        with pytest.raises(LookupError, match=f"hub {gone} is not there"):
            server.kill_hub(gone)
        with pytest.raises(LookupError, match=f"hub {gone} is not there"):
            server.move("rooms.Room/a", gone)
    for stream in streams:
        stream.cancel()
    server.kill_hub(2)
    assert [post(stub, room) for room in "bc"][-1] == 1, "all by itself"


def test_it_does_not_end_as_one_that_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(Room, "on_passivate", lambda self: told.append(self.key))
    with testing.serve(app) as server:
        stub = RoomStub(server.channel())
        for room in "ab":
            post(stub, room)
        server.move("rooms.Room/a", 1)
        server.move("rooms.Room/b", 0)
        server.kill_hub(1)
        assert told == []
    assert told == ["b"]


def test_connections_die_with_their_hub(actorrpc_server: testing.Serve) -> None:
    both = actorrpc.App([Room, Stateful])
    server = actorrpc_server(both)
    staying, dying = server.channel(), server.channel()
    listening = StatefulStub(staying).Listen(Item(text="news"), timeout=PATIENCE)
    listening.initial_metadata()
    (connection,) = server.connections
    held = StatefulStub(dying).Listen(Item(text="news"), timeout=PATIENCE)
    held.initial_metadata()
    (other,) = [each for each in server.connections if each.id != connection.id]
    server.move(other.id, 1)
    post(RoomStub(dying))
    server.kill_hub(1)
    with pytest.raises(grpc.RpcError) as error:
        next(held)
    assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert [each.id for each in server.connections][:1] == [connection.id]
    # Topics have homes among those that live.
    for number in range(20):
        StatefulStub(staying).Publish(Item(text="news", number=number), timeout=PATIENCE)
        assert next(listening).number == number
    assert StatefulStub(dying).Unary(Item(), timeout=PATIENCE, wait_for_ready=True).number == 1, "a new actor"
    assert server.errors == []
    listening.cancel()


def test_what_cannot_be_killed(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(app, config=actorrpc.Config(quiesce_timeout=0.01))
    with pytest.raises(ValueError, match="hub 0 cannot be killed: it accepts connections"):
        server.kill_hub(0)
    stub = RoomStub(server.channel())
    post(stub)
    server.move("rooms.Room/a", 1)
    running = stub.Beside.future(Line(room="a", sleep=0.5), timeout=PATIENCE)
    until(lambda: [actor for actor in server.actors if actor.calls])
    with pytest.raises(RuntimeError, match=r"handler Beside of rooms\.Room/a runs"):
        server.kill_hub(1)
    assert running.result().number == 1
    assert homes(server) == {"a": 1}


class Watchman(RoomBase):
    """Active at all times."""

    __rpc__ = actorrpc.ServiceSpec(
        "rooms.Watchman",
        RoomBase.__rpc__.methods,
        state=RoomState,
        keyed=actorrpc.Keyed(field="room", always=("tower",)),
    )


def test_one_that_is_always_active_is_active_again(actorrpc_server: testing.Serve) -> None:
    server = actorrpc_server(actorrpc.App([Watchman]), hubs=3)
    until(lambda: server.actors)
    server.move("rooms.Watchman/tower", 2)
    server.kill_hub(2)
    until(lambda: server.actors)
    assert homes(server)["tower"] in (0, 1)
