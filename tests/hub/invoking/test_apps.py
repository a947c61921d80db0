"""Actors are called by greenlets of the app, which belong to no turn."""

from __future__ import annotations

import threading
from typing import Any

import gevent
import pytest

import actorrpc
from actorrpc import testing
from tests.apps.rooms import Room
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.keyed import PATIENCE, move, rooms


def test_a_greenlet_of_the_app_calls_an_actor() -> None:
    numbers: list[int] = []
    called = threading.Event()

    def run() -> None:
        stub = RoomStub(app.actor("a"))
        numbers.extend(stub.Post(Line(), timeout=PATIENCE).number for _ in range(3))
        called.set()

    app = actorrpc.App([Room], on_start=lambda: gevent.spawn(run))
    with testing.serve(app) as server:
        assert called.wait(PATIENCE)
        assert numbers == [1, 2, 3]
        assert RoomStub(server.channel()).Post(Line(room="a"), timeout=PATIENCE).number == 4


def test_where_the_app_is_not_served_there_is_nobody_to_call() -> None:
    app: Any = actorrpc.App([Room])
    with pytest.raises(RuntimeError, match="does not serve the app"):
        app.actor("a")
    with testing.serve(app), pytest.raises(actorrpc.RpcError, match="must not be empty"):
        app.actor("")


def test_what_actors_make_of_a_client_s_calls_is_the_client_s() -> None:
    """Else a client would have as many actors as it likes, by way of one that calls whom it is told to."""
    held: list[actorrpc.StatusCode] = []

    class Asking(Room):
        def Post(self, request: Line, call: actorrpc.Call[Line]) -> Line:
            if self.key == "asker":
                for number in range(20):
                    try:
                        RoomStub(self.actor(f"{request.text} {number}")).Post(Line(), timeout=PATIENCE)
                    except actorrpc.CallError as error:
                        held.append(error.code)
                        break
            return Line(number=len(held))

    with rooms(actorrpc.App([Asking]), 2, max_actors=8) as (hubs, stub):
        stub.Post(Line(room="asker", text="a"), timeout=PATIENCE)
        made = hubs.ask(lambda: [sum(node.actors._made.values()) for node in hubs.nodes])
        assert held == [actorrpc.StatusCode.RESOURCE_EXHAUSTED]
        assert max(made) == 4
        move(hubs, "rooms.Room/asker", 1)
        stub.Post(Line(room="asker", text="b"), timeout=PATIENCE)
        assert held == [actorrpc.StatusCode.RESOURCE_EXHAUSTED] * 2
