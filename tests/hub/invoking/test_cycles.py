"""Calls that come back to an actor that waits for them."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import grpc
import pytest

from actorrpc import StatusCode
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.hub.invoking.acting import Stage, asks, keeps, note, staged


@pytest.fixture(params=[1, 3], ids=["one hub", "three hubs"])
def stage(request) -> Iterator[Stage]:
    with staged(request.param) as stage:
        stage.place(a=0, b=request.param // 2, c=request.param - 1)
        yield stage


def refused(stage, room) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        stage.post(room)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    return str(caught.value.details())


def test_the_message_shows_the_cycle(stage):
    stage.acts.update({"a.Post": asks("b"), "b.Post": asks("c"), "c.Post": asks("b")})
    assert "rooms.Room/b -> rooms.Room/c -> rooms.Room/b" in refused(stage, "a")
    assert "rooms.Room/a" not in refused(stage, "a"), "which is in no circle"
    stage.acts["c.Post"] = asks("a")
    assert "rooms.Room/a -> rooms.Room/b -> rooms.Room/c -> rooms.Room/a" in refused(stage, "a")


def test_an_actor_that_calls_itself(stage):
    stage.acts["a.Post"] = asks("a")
    assert "rooms.Room/a -> rooms.Room/a" in refused(stage, "a")


def test_a_concurrent_method_lets_it_in(stage):
    stage.acts.update({"a.Post": asks("b"), "b.Post": asks("a", "Beside"), "a.Beside": note})
    assert stage.post("a", "x").text == "x"
    assert stage.notes("a") == "x"


def test_a_concurrent_turn_keeps_nobody_out(stage):
    stage.acts.update({"a.Beside": asks("b"), "b.Post": asks("a"), "a.Post": note})
    assert stage.client.Beside(Line(room="a", text="x"), timeout=20).text == "x"


def test_who_waits_before_a_concurrent_turn_still_waits(stage):
    stage.acts.update({"a.Post": asks("b", "Beside"), "b.Beside": asks("a")})
    assert "rooms.Room/a -> rooms.Room/a" in refused(stage, "a")


def test_who_does_not_wait_is_in_no_cycle(stage):
    def ask(room, request, call):
        if request.text == "tell":
            RoomStub(room.actor("b")).Post.tell(request)
        else:
            RoomStub(room.actor("b")).Post.future(request).add_done_callback(ended.append)
        return request

    heard, ended = [], []
    stage.acts.update({"a.Post": ask, "b.Post": keeps(heard, asks("a", "Notes"))})
    stage.post("a", "tell")
    stage.hubs.wait_for(lambda: len(heard) == 1)
    stage.post("a", "future")
    stage.hubs.wait_for(lambda: len(heard) == 2 and ended)
    assert stage.hubs.ask(ended[0].code) is StatusCode.OK


def test_what_activates_an_actor_waits_for_it(stage):
    """Its hook calls whom the call came from that it is activated for."""
    stage.acts.update({"a.Post": asks("new"), "new.on_activate": asks("a")})
    assert "rooms.Room/a -> rooms.Room/new -> rooms.Room/a" in refused(stage, "a")


def test_cycle_that_moves():
    """The call that is to close the circle waits in an actor's mailbox, and moves with it."""
    with staged(2) as stage:
        stage.place(a=0, b=0)
        blocked = []

        def block(room, request, call):
            if request.text != "block":
                return asks("a")(room, request, call)
            blocked.append(1)
            while len(blocked) < 2:
                gevent.sleep(0.001)
            return request

        stage.acts.update({"a.Post": asks("b"), "b.Post": block})
        blocking = stage.client.Post.future(Line(room="b", text="block"))
        stage.hubs.wait_for(lambda: blocked)
        closing = stage.client.Post.future(Line(room="a"), timeout=20)
        actors = stage.hubs.nodes[0].actors
        stage.hubs.wait_for(lambda: len(actors.by_id["rooms.Room/b"].calls) == 2)
        results: list = []
        stage.hubs.ask(lambda: stage.begin_move("rooms.Room/b", 1, results))
        blocked.append(2)
        blocking.result()
        stage.hubs.wait_for(lambda: results)
        assert "rooms.Room/a -> rooms.Room/b -> rooms.Room/a" in closing.exception().details()
        assert stage.where("b") == 1
