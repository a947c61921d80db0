"""What a client gets of a keyed actor: everything that it gets of a connection's."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
import pytest

import actorrpc
from tests.apps.rooms import app, guarded
from tests.apps.rooms_actorrpc import CounterStub, JournalStub, RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.keyed import PATIENCE, move, rooms, where

A = "rooms.Room/a"


def code_of(call: grpc.Call) -> grpc.StatusCode:
    code: grpc.StatusCode = call.code()
    return code


def test_one_actor_for_all_connections() -> None:
    with rooms(app) as (hubs, stub), grpc.insecure_channel(hubs.address) as other:
        assert [stub.Post(Line(room="a"), timeout=PATIENCE).number for _ in range(2)] == [1, 2]
        assert RoomStub(other).Post(Line(room="a"), timeout=PATIENCE).number == 3
        assert stub.Post(Line(room="b"), timeout=PATIENCE) == Line(room="b", number=1)


@pytest.mark.parametrize("serves", (app, guarded), ids=("plain", "intercepted"))
@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_metadata_and_errors_come_through(serves: actorrpc.App, hub: int) -> None:
    with rooms(serves, 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        assert move(hubs, A, hub).why in ("", "it is there already")
        sent = [("initial", "one"), ("trailing", "two")]
        reply, call = stub.Post.with_call(Line(room="a", text="hello"), metadata=sent, timeout=PATIENCE)
        assert (reply.number, reply.text) == (2, "hello")
        assert ("initial", "one") in call.initial_metadata()
        assert ("trailing", "two") in call.trailing_metadata()
        with pytest.raises(grpc.RpcError) as raised:
            stub.Post(Line(room="a", status=5, text="no such line"), timeout=PATIENCE)
        assert code_of(raised.value) is grpc.StatusCode.NOT_FOUND
        assert raised.value.details() == "no such line"
        assert ("why", "asked for") in raised.value.trailing_metadata()


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_a_deadline_interrupts_the_handler(hub: int) -> None:
    with rooms(app, 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        move(hubs, A, hub)
        with pytest.raises(grpc.RpcError) as raised:
            stub.Post(Line(room="a", sleep=PATIENCE), timeout=0.2)
        assert code_of(raised.value) is grpc.StatusCode.DEADLINE_EXCEEDED
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 3, "its turn is over"


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_a_cancelled_stream_ends_at_the_actor(hub: int) -> None:
    with rooms(app, 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        move(hubs, A, hub)
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        assert dict(stream.initial_metadata())["room"] == "a"
        activation = hubs.nodes[hub].actors.by_id[A]
        stream.cancel()
        hubs.wait_for(lambda: not activation.calls)
        hubs.wait_for(lambda: not any(node.exchange.answering for node in hubs.nodes))
        hubs.wait_for(lambda: not any(node.exchange.outgoing for node in hubs.nodes))


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_a_client_that_does_not_read_holds_the_iterable_up(hub: int) -> None:
    with rooms(app, 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        move(hubs, A, hub)
        text = "x" * 10_000
        lines = stub.Recite(Line(room="a", number=1000, text=text), timeout=PATIENCE)
        assert next(lines).number == 0
        assert [line.number for line in lines] == [*range(1, 1000)]


def test_a_key_in_the_metadata() -> None:
    with rooms(app) as (hubs, _), grpc.insecure_channel(hubs.address) as channel:
        stub = CounterStub(channel)
        for number in (1, 2):
            reply = stub.Count(Line(), metadata=[("actor-key", "k")], timeout=PATIENCE)
            assert (reply.room, reply.number) == ("k", 1), f"call {number}: idle is 0 there"
            hubs.wait_for(lambda: not hubs.nodes[0].actors.active)


def test_an_identity_is_a_key() -> None:
    with rooms(guarded) as (hubs, _), grpc.insecure_channel(hubs.address) as channel:
        stub = JournalStub(channel)
        replies = [stub.Note(Line(), metadata=[("user", "ada")], timeout=PATIENCE) for _ in range(2)]
        assert [(reply.room, reply.text, reply.number) for reply in replies] == [
            ("ada", "ada", 1),
            ("ada", "ada", 2),
        ]
        with pytest.raises(grpc.RpcError) as raised:
            stub.Note(Line(), timeout=PATIENCE)
        assert code_of(raised.value) is grpc.StatusCode.UNAUTHENTICATED


def test_an_interceptor_knows_the_key_and_may_refuse_it() -> None:
    with rooms(guarded) as (hubs, stub):
        with pytest.raises(grpc.RpcError) as raised:
            stub.Post(Line(room="forbidden"), timeout=PATIENCE)
        assert code_of(raised.value) is grpc.StatusCode.PERMISSION_DENIED
        assert where(hubs, "rooms.Room/forbidden") == []


@pytest.mark.parametrize(
    ("room", "why"),
    [
        ("", "the field room of rooms.Line, which is the actor's key, must not be empty"),
        ("x" * 257, "is too long: 257 bytes of UTF-8, and at most 256 may be"),
    ],
    ids=("empty", "long"),
)
def test_a_key_that_is_none(room: str, why: str) -> None:
    with rooms(app) as (hubs, stub):
        with pytest.raises(grpc.RpcError) as raised:
            stub.Post(Line(room=room), timeout=PATIENCE)
        assert code_of(raised.value) is grpc.StatusCode.INVALID_ARGUMENT
        assert why in raised.value.details()
        assert hubs.ask(lambda: len(hubs.nodes[0].actors.active)) == 0


def test_a_stream_of_requests_is_refused_in_words() -> None:
    with rooms(app) as (_, stub):
        with pytest.raises(grpc.RpcError) as raised:
            list(stub.Talk(iter([Line(room="a")]), timeout=PATIENCE))
        assert code_of(raised.value) is grpc.StatusCode.UNIMPLEMENTED
        assert "make a call for each message" in raised.value.details()


def made(stub: RoomStub, rooms: Iterable[str]) -> int:
    """In how many of these rooms somebody can post."""
    count = 0
    for room in rooms:
        try:
            stub.Post(Line(room=room), timeout=PATIENCE)
            count += 1
        except grpc.RpcError as error:
            assert code_of(error) is grpc.StatusCode.RESOURCE_EXHAUSTED, error
    return count


def test_no_client_has_all_the_actors_that_there_may_be() -> None:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with rooms(app, max_actors=16) as (hubs, first), grpc.insecure_channel(hubs.address, options) as channel:
        assert made(first, (f"first {number}" for number in range(20))) == 8
        assert made(RoomStub(channel), (f"second {number}" for number in range(20))) == 4
        assert made(first, ["first 0", "first 7"]) == 2, "they are there"


def test_no_more_actors_than_there_may_be() -> None:
    with rooms(app, max_actors=1) as (_, stub):
        assert made(stub, "ab") == 1
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 2


def test_turns_of_a_key_are_serial_and_concurrent_ones_are_not() -> None:
    with rooms(app) as (_, stub):
        slow = stub.Post.future(Line(room="a", sleep=PATIENCE), timeout=PATIENCE)
        assert stub.Beside(Line(room="a"), timeout=PATIENCE).number == 1
        with pytest.raises(grpc.RpcError):
            stub.Post(Line(room="a"), timeout=0.1)
        slow.cancel()
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 2
