"""References: what they say, what they lead to, and what is wrong with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import actorrpc
from actorrpc import ActorRef, StatusCode
from tests.apps.rooms import Counter
from tests.apps.rooms_actorrpc import CounterStub, JournalStub, RoomStub
from tests.apps.rooms_pb2 import Line
from tests.apps.shapes import Stateless
from tests.apps.shapes_actorrpc import StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.hub.invoking.acting import Room, acts, keeps, note, staged


def test_a_reference_says_which_actor_is_meant():
    with staged(2) as stage:
        refs = []

        def give(room, request, call):
            stub = RoomStub(room.actor("b"))
            refs.extend([room.ref, RoomStub(room.actor("a")).ref, RoomStub(stub.ref).ref])
            return request

        stage.acts["a.Post"] = give
        stage.post("a")
        server = stage.hubs.nodes[1].resources.invoking.server
        assert len(server) == 16
        own = ActorRef(service="rooms.Room", key="a", server=server)
        assert refs == [own, own, ActorRef(service="rooms.Room", key="b", server=server)]


def test_a_reference_follows_its_actor():
    with staged(3) as stage:
        refs = []
        stage.acts["b.Post"] = keeps(refs, lambda room, request, call: room.ref.SerializeToString())
        stage.post("b")
        stage.acts["b.Post"] = note

        def ask(room, request, call):
            return RoomStub(ActorRef.FromString(refs[0])).Post(request)

        stage.acts["a.Post"] = ask
        stage.place(a=0)
        for hub in (1, 2, 0, 1):
            stage.move("b", hub)
            assert stage.post("a", f"at {hub}").text == f"at {hub}"
        assert stage.notes("b") == "at 1 at 2 at 0 at 1"


def test_it_is_called_in_any_greenlet_of_a_hub():
    with staged(2) as stage:
        server = stage.hubs.nodes[0].resources.invoking.server
        ref = ActorRef(service="rooms.Room", key="a", server=server)
        future = stage.hubs.ask(lambda: RoomStub(ref).Post.future(Line(text="x")))
        stage.hubs.wait_for(future.done)
        assert stage.hubs.ask(future.result).text == "x"
    # A thread of its own, since other tests make hubs in this one, which last until they are collected.
    with (
        ThreadPoolExecutor(1) as elsewhere,
        pytest.raises(RuntimeError, match="where a hub of its server runs"),
    ):
        elsewhere.submit(RoomStub, ref).result(20)


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"server": b"another"}, StatusCode.NOT_FOUND, "on another server"),
        ({"service": ""}, StatusCode.INVALID_ARGUMENT, "the reference is empty"),
        ({"service": "rooms.Counter"}, StatusCode.INVALID_ARGUMENT, "to an actor of rooms.Counter, not of"),
        ({"key": ""}, StatusCode.INVALID_ARGUMENT, "the key in the reference must not be empty"),
        ({"key": "x" * 257}, StatusCode.INVALID_ARGUMENT, "the key in the reference is too long"),
        ({"connection": "0-1-1"}, StatusCode.INVALID_ARGUMENT, "a key and a connection"),
    ],
)
def test_what_is_wrong_with_a_reference(change, status, why):
    def ask(room, request, call):
        ref = room.ref
        for field, value in change.items():
            setattr(ref, field, value)
        with pytest.raises(actorrpc.RpcError) as caught:
            RoomStub(ref).Post(request, timeout=20)
        assert why in caught.value.message
        return Line(number=caught.value.code)

    with staged() as stage:
        stage.acts["a.Post"] = ask
        assert stage.post("a").number == status


def test_a_service_that_has_no_actors_by_key():
    seen = []

    def ask(room, request, call):
        for stub, message in ((JournalStub, request), (StatelessStub, Item())):
            method = stub(room.actor("x")).Note if stub is JournalStub else stub(room.actor("x")).Unary
            with pytest.raises(actorrpc.CallError) as caught:
                method(message)
            seen.append((caught.value.code, caught.value.message))
            with pytest.raises(actorrpc.RpcError, match="UNIMPLEMENTED"):
                method.tell(message)
        return request

    with staged(app=actorrpc.App([Room, Stateless])) as stage:
        stage.acts["a.Post"] = ask
        stage.post("a")
    assert [code for code, _ in seen] == [StatusCode.UNIMPLEMENTED] * 2
    assert seen[0][1] == "rooms.Journal is not served here"
    assert "an actor for each connection" in seen[1][1]


@pytest.mark.parametrize("key", ["", "x" * 257, "\ud800"])
def test_what_cannot_be_a_key(key):
    def ask(room, request, call):
        with pytest.raises(actorrpc.RpcError, match="INVALID_ARGUMENT"):
            room.actor(key)
        return request

    with staged() as stage:
        stage.acts["a.Post"] = ask
        stage.post("a")


def test_a_target_is_one_for_any_stub():
    """The key says who, and the stub of which service; the key in the metadata is a client's."""
    with staged(app=actorrpc.App([Room, Counter])) as stage:
        acts["a.Post"] = lambda room, request, call: CounterStub(room.actor("ü")).Count(request)
        assert stage.post("a") == Line(room="ü", number=1)


def test_a_stub_of_a_channel_refers_to_nobody():
    with pytest.raises(TypeError, match="over a channel"):
        assert RoomStub(grpc.insecure_channel("localhost:1")).ref


def test_who_serves_a_connection_calls_actors_too():
    seen = []

    class Asks(Stateless):
        def Unary(self, request, call):
            reply = RoomStub(self.actor("a")).Post(Line(text=request.text))
            return Item(text=reply.text)

    with staged(app=actorrpc.App([Room, Asks])) as stage:
        acts["a.Post"] = keeps(seen, lambda room, request, call: call.caller)
        client = StatelessStub(grpc.insecure_channel(stage.hubs.address))
        assert client.Unary(Item(text="x"), timeout=20).text == "x"
    assert seen == [None], "it has no state, and is no actor"
