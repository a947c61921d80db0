"""Calls for whose answers nobody waits: each handled once, and in their order, wherever the actor is."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

import actorrpc
from actorrpc import StatusCode
from actorrpc.hub.invoking import tells
from actorrpc.pb import control_pb2
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.hub.invoking.acting import Stage, keeps, note, staged


@pytest.fixture(params=[1, 2], ids=["one hub", "two hubs"])
def stage(request) -> Iterator[Stage]:
    with staged(request.param) as stage:
        stage.place(a=0, b=request.param - 1)
        yield stage


def tell_all(room, request, call):
    """Tells the numbers up to the request's to the room that it names."""
    stub = RoomStub(room.actor(request.text))
    for number in range(request.number):
        stub.Post.tell(Line(text=str(number)))
    return request


def tell(stage, count: int, room: str = "b") -> None:
    stage.client.Post(Line(room="a", text=room, number=count), timeout=20)


def numbers(count: int) -> str:
    return " ".join(map(str, range(count)))


def test_they_are_handled_in_their_order(stage):
    stage.acts["a.Post"] = tell_all
    tell(stage, 300)
    stage.hubs.wait_for(lambda: actor(stage, "b").state.lines == 0 and len(notes(stage, "b")) == 300)
    assert stage.notes("b") == numbers(300)


def actor(stage, room: str) -> Any:
    """The instance of a room, where it lives."""
    id = f"rooms.Room/{room}"
    found = [node.actors.by_id[id] for node in stage.hubs.nodes if id in node.actors.by_id]
    return found[0].cell.instance


def notes(stage, room: str) -> list[str]:
    return actor(stage, room).state.notes


def test_who_tells_waits_for_nothing(stage):
    waiting, told = [], []

    def block(room, request, call):
        waiting.append(room.key)
        while len(told) < 2:
            gevent.sleep(0.001)
        return note(room, request, call)

    def ask(room, request, call):
        RoomStub(room.actor("b")).Post.tell(request)
        told.append(room.key)
        return request

    stage.acts.update({"a.Post": ask, "b.Post": block})
    stage.post("a", "x")
    stage.hubs.wait_for(lambda: waiting)
    stage.post("a", "y")
    stage.hubs.wait_for(lambda: len(notes(stage, "b")) == 2)


def test_a_call_comes_after_what_was_told_before(stage):
    def ask(room, request, call):
        tell_all(room, Line(text="b", number=20), call)
        return RoomStub(room.actor("b")).Notes(request)

    stage.acts["a.Post"] = ask
    assert stage.post("a").text == numbers(20)


def test_what_becomes_of_one_is_in_the_log(stage, caplog):
    def refuse(room, request, call):
        raise actorrpc.RpcError(StatusCode.ABORTED, "not now")

    stage.acts.update({"a.Post": tell_all, "b.Post": refuse})
    with caplog.at_level(logging.WARNING, "actorrpc.hub"):
        tell(stage, 1)
        stage.hubs.wait_for(lambda: caplog.messages)
    assert caplog.messages == [
        "/rooms.Room/Post, which was told to rooms.Room/b, ended with ABORTED: not now"
    ]


def test_it_has_a_timeout_of_its_own_alone(stage):
    seen = []
    stage.acts["b.Post"] = keeps(seen, lambda room, request, call: call.time_remaining())

    def ask(room, request, call):
        RoomStub(room.actor("b")).Post.tell(request)
        RoomStub(room.actor("b")).Post.tell(request, timeout=100)
        return request

    stage.acts["a.Post"] = ask
    stage.post("a")
    stage.hubs.wait_for(lambda: len(seen) == 2)
    assert seen[0] is None and 90 < seen[1] <= 100


def test_metadata_goes_with_it(stage):
    seen = []
    stage.acts["b.Post"] = keeps(seen, lambda room, request, call: call.metadata["x"])

    def ask(room, request, call):
        RoomStub(room.actor("b")).Post.tell(request, metadata=[("x", "y")])
        return request

    stage.acts["a.Post"] = ask
    stage.post("a")
    stage.hubs.wait_for(lambda: seen == ["y"])


def test_their_order_holds_while_their_actor_moves():
    with staged(3) as stage:
        stage.place(a=0, b=1)
        enough: list[int] = []

        def tell_on(room, request, call):
            stub, number = RoomStub(room.actor("b")), 0
            while not enough:
                stub.Post.tell(Line(text=str(number)))
                number += 1
                if number % 5 == 0:
                    gevent.sleep(0.0005)
            return Line(number=number)

        stage.acts["a.Post"] = tell_on
        telling = stage.client.Post.future(Line(room="a"))
        for hub in (2, 1, 0, 2, 1):
            stage.move("b", hub)
        enough.append(1)
        count = telling.result().number
        stage.hubs.wait_for(lambda: len(notes(stage, "b")) == count)
        assert stage.notes("b") == numbers(count)


def test_who_tells_moves_when_it_has_been_heard():
    """Its next hub would not know what is still on its way from here."""
    with staged(2) as stage:
        stage.place(a=0, b=1)
        node = stage.hubs.nodes[0]
        kept: list[tuple[int, control_pb2.HubToHub]] = []
        send = node.exchange._send
        stage.acts["a.Post"] = tell_all
        stage.hubs.ask(lambda: setattr(node.exchange, "_send", lambda *message: kept.append(message)))
        tell(stage, 3)
        results: list[Any] = []
        stage.hubs.ask(lambda: stage.begin_move("rooms.Room/a", 1, results))
        source = stage.hubs.wait_for(lambda: node.mover.handoffs.sources.get("rooms.Room/a"))
        assert source.connection.unquiet == "what was told to other actors has not reached them"
        assert len(kept) == 1, "the next is sent when this one is there"

        def go_on() -> None:
            node.exchange._send = send
            send(*kept[0])

        stage.hubs.ask(go_on)
        stage.hubs.wait_for(lambda: results)
        stage.hubs.wait_for(lambda: len(notes(stage, "b")) == 3)
        assert stage.where("a") == 1 and stage.notes("b") == numbers(3)


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 5), ("MAX_WAITING_BYTES", 20)])
def test_no_more_wait_than_may(monkeypatch, limit, value):
    monkeypatch.setattr(tells, limit, value)
    with staged(2) as stage:
        stage.place(a=0, b=1, c=0)
        node = stage.hubs.nodes[0]
        stage.hubs.ask(lambda: setattr(node.exchange, "_send", lambda *message: None))

        def ask(room, request, call):
            with pytest.raises(actorrpc.RpcError, match="RESOURCE_EXHAUSTED"):
                tell_all(room, Line(text="b", number=20), call)
            tell_all(room, Line(text="c", number=20), call)  # which lives here
            return request

        stage.acts["a.Post"] = ask
        stage.post("a")
        assert stage.notes("c") == numbers(20)


def test_one_is_handled_though_its_caller_s_hub_has_died(monkeypatch):
    monkeypatch.setattr("actorrpc.hub.exchange.exchange.ORPHANS", 0.001)
    with staged(2) as stage:
        stage.place(a=0, b=1)
        begun, go = [], []

        def block(room, request, call):
            begun.append(request.text)
            while not go:
                gevent.sleep(0.001)
            return note(room, request, call)

        def ask(room, request, call):
            RoomStub(room.actor("b")).Post.tell(Line(text="told"))
            return RoomStub(room.actor("b")).Post(Line(text="asked"))

        stage.acts.update({"a.Post": ask, "b.Post": block})
        asking = stage.client.Post.future(Line(room="a"))
        exchange = stage.hubs.nodes[1].exchange
        stage.hubs.wait_for(lambda: len(exchange.answering) == 2)
        stage.hubs.ask(lambda: exchange.died(0))
        stage.hubs.wait_for(lambda: len(exchange.answering) == 1)
        go.append(1)
        stage.hubs.wait_for(lambda: not exchange.answering)
        assert notes(stage, "b") == ["told"]
        asking.cancel()
