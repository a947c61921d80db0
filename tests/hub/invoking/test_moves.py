"""Calls while an end of them moves, and when one of them dies."""

from __future__ import annotations

from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.hub.invoking.acting import asks, note, staged


def test_calls_are_answered_while_the_one_called_moves():
    with staged(3) as stage:
        stage.place(a=0, b=1)
        enough: list[int] = []

        def ask(room, request, call):
            stub, number = RoomStub(room.actor("b")), 0
            while not enough:
                assert stub.Post(Line(text=str(number))).text == str(number)
                number += 1
            return Line(number=number)

        stage.acts["a.Post"] = ask
        asking = stage.client.Post.future(Line(room="a"))
        for hub in (2, 0, 1, 2, 0):
            stage.move("b", hub)
        enough.append(1)
        count = asking.result().number
        assert stage.notes("b") == " ".join(map(str, range(count))), "each once"


def test_a_call_that_waits_moves_with_the_one_called():
    with staged(2) as stage:
        stage.place(a=0, b=0)
        begun, go = [], []

        def block(room, request, call):
            begun.append(request.text)
            while not go:
                gevent.sleep(0.001)
            return note(room, request, call)

        stage.acts.update({"a.Post": asks("b"), "b.Post": block})
        blocking = stage.client.Post.future(Line(room="b", text="first"))
        stage.hubs.wait_for(lambda: begun)
        waiting = stage.client.Post.future(Line(room="a", text="second"))
        calls = stage.hubs.nodes[0].actors.by_id["rooms.Room/b"].calls
        stage.hubs.wait_for(lambda: len(calls) == 2)
        results: list[Any] = []
        stage.hubs.ask(lambda: stage.begin_move("rooms.Room/b", 1, results))
        go.append(1)
        blocking.result()
        stage.hubs.wait_for(lambda: results)
        assert waiting.result().text == "second"
        assert (stage.where("a"), stage.where("b")) == (0, 1)


def test_who_waits_stays_until_it_is_answered():
    with staged(2) as stage:
        stage.place(a=0, b=1)
        begun, go = [], []

        def block(room, request, call):
            begun.append(request.text)
            while not go:
                gevent.sleep(0.001)
            return note(room, request, call)

        stage.acts.update({"a.Post": asks("b"), "b.Post": block})
        asking = stage.client.Post.future(Line(room="a", text="x"))
        stage.hubs.wait_for(lambda: begun)
        results: list[Any] = []
        stage.hubs.ask(lambda: stage.begin_move("rooms.Room/a", 1, results))
        go.append(1)
        assert asking.result().text == "x"
        stage.hubs.wait_for(lambda: results)
        assert stage.where("a") == 1


def test_a_stream_goes_on_while_its_actor_moves():
    """Its reader is now behind, and now not."""
    with staged(2) as stage:
        stage.place(a=0, b=0)
        enough: list[int] = []
        read: list[int] = []

        def ask(room, request, call):
            for reply in RoomStub(room.actor("b")).Recite(request):
                read.append(reply.number)
                if reply.number % 100 == 0:
                    gevent.sleep(0.001)
            return request

        def recite(room, request, call):
            number = int(call.cursor or b"0")
            while not enough:
                call.cursor = b"%d" % (number + 1)
                yield Line(number=number, text="x" * 2000)
                number += 1

        stage.acts.update({"a.Post": ask, "b.Recite": recite})
        asking = stage.client.Post.future(Line(room="a"))
        for hub in (1, 0, 1, 0, 1, 0):
            stage.move("b", hub)
        enough.append(1)
        asking.result()
        assert read == [*range(len(read))]
        stage.hubs.wait_for(lambda: not any(node.exchange.answering for node in stage.hubs.nodes))


def test_whether_a_call_has_run_in_a_hub_that_dies_is_not_known():
    with staged(2) as stage:
        stage.place(a=0, b=1)
        asked = []

        def ask(room, request, call):
            asked.append(1)
            with pytest.raises(actorrpc.CallError) as caught:
                RoomStub(room.actor("b")).Post(request)
            return Line(text=str(caught.value))

        stage.acts["a.Post"] = ask
        exchange = stage.hubs.nodes[0].exchange
        stage.hubs.ask(lambda: setattr(exchange, "_send", lambda *message: None))
        asking = stage.client.Post.future(Line(room="a"), timeout=20)
        stage.hubs.wait_for(lambda: asked)
        stage.hubs.ask(lambda: exchange.died(1))
        why = "UNAVAILABLE: the hub has ended where rooms.Room had its actor 'b'"
        assert asking.result().text.startswith(why)


def test_what_is_left_of_an_actor_calls_nobody():
    """A greenlet of its own does not move with it."""
    with staged(2) as stage:
        stage.place(a=0)
        errors, go = [], []

        def later(room):
            while not go:
                gevent.sleep(0.001)
            try:
                RoomStub(room.actor("b")).Post(Line())
            except RuntimeError as error:
                errors.append(str(error))

        def ask(room, request, call):
            gevent.spawn(later, room)
            return request

        stage.acts["a.Post"] = ask
        stage.post("a")
        stage.move("a", 1)
        go.append(1)
        stage.hubs.wait_for(lambda: errors)
        assert "cannot call an actor: " in errors[0] and "served by another hub now" in errors[0]


def test_a_hook_before_a_move_may_call():
    with staged(2) as stage:
        stage.place(a=0, b=0)
        stage.acts["a.on_freeze"] = lambda room, request, call: RoomStub(room.actor("b")).Post(Line(text="x"))
        stage.move("a", 1)
        assert stage.notes("b") == "x"


def test_who_asks_is_told_when_its_client_has_gone():
    with staged(2) as stage:
        stage.place(a=0, b=1)
        begun, ended = [], []

        def block(room, request, call):
            begun.append(1)
            try:
                gevent.sleep(60)
            finally:
                ended.append(room.key)

        stage.acts.update({"a.Post": asks("b"), "b.Post": block})
        with grpc.insecure_channel(stage.hubs.address) as channel:
            asking = RoomStub(channel).Post.future(Line(room="a"))
            stage.hubs.wait_for(lambda: begun)
        stage.hubs.wait_for(lambda: ended == ["b"])
        assert asking.code() is grpc.StatusCode.CANCELLED
