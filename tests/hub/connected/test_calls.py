"""What a call of a connection's actor by reference is, and what comes of it: in one hub, and between two."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import grpc
import pytest

import actorrpc
from actorrpc import ActorRef, StatusCode
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import Group, Member, StatefulStub, does, group, note
from tests.hub.invoking.acting import Room, acts


@pytest.fixture(params=[1, 2], ids=["one hub", "two hubs"])
def where(request) -> Iterator[tuple[Group, int]]:
    """Of two hubs, members are in the second, and rooms that call them in the first."""
    with group(request.param) as members:
        yield members, request.param - 1


def test_a_call_has_its_reply(where):
    members, hub = where
    stub, ref = members.join(hub)
    assert (ref.service, ref.key, ref.identity) == ("shapes.Stateful", "", "")
    assert ref.connection and len(ref.seal) == 16

    def ask(room):
        reply, made = StatefulStub(ref).Unary.with_call(Item(text="hello"))
        return reply.text, made.code()

    assert members.by(0, ask) == ("hello", StatusCode.OK)
    # It is the client's own actor, and a turn of it like any other.
    assert stub.Unary(Item(text="again"), timeout=20).number == 2
    assert stub.Notes(Item(), timeout=20).text == "hello again"
    members.hubs.wait_for(members.at_rest)


def test_a_reference_is_kept_in_a_state_and_leads_to_a_stub_with_a_reference(where):
    members, hub = where
    _, ref = members.join(hub)
    kept = members.by(0, lambda room: StatefulStub(ActorRef.FromString(ref.SerializeToString())).ref)
    assert kept == ref


def test_what_ends_it_is_an_error_of_the_caller(where):
    members, hub = where
    _, ref = members.join(hub)

    def refuse(member, request, call):
        call.set_trailing_metadata({"more": "x"})
        raise actorrpc.RpcError(StatusCode.ALREADY_EXISTS, "there is one")

    def ask(room):
        with pytest.raises(actorrpc.CallError) as caught:
            StatefulStub(ref).Unary(Item())
        return caught.value.code, caught.value.message, caught.value.metadata

    does["Unary"] = refuse
    assert members.by(0, ask) == (StatusCode.ALREADY_EXISTS, "there is one", {"more": ["x"]})


def test_futures_tells_and_streams(where):
    members, hub = where
    stub, ref = members.join(hub)

    def recite(member, request, call):
        for number in range(request.number):
            call.cursor = b"%d" % number
            yield Item(number=number, body=bytes(20_000))

    def ask(room):
        called = StatefulStub(ref)
        futures = [called.Unary.future(Item(text=f"f{number}")) for number in range(3)]
        texts = [future.result().text for future in futures]
        for number in range(3):
            called.Unary.tell(Item(text=f"t{number}"))
        return texts, [item.number for item in called.Expand(Item(number=20))]

    does["Expand"] = recite
    assert members.by(0, ask) == (["f0", "f1", "f2"], [*range(20)])
    assert stub.Notes(Item(), timeout=20).text == "f0 f1 f2 t0 t1 t2"
    members.hubs.wait_for(members.at_rest)


def test_an_open_call_is_among_the_calls_of_the_actor(where):
    members, hub = where
    stub, ref = members.join(hub)
    with_client = stub.Listen(Item(), timeout=20)

    def ask(room):
        heard = StatefulStub(ref).Listen(Item())
        StatefulStub(ref).Publish(Item(text="to all"))
        return next(heard).text

    members.hubs.wait_for(lambda: members.hubs.nodes[hub].connections[ref.connection].calls)
    assert members.by(0, ask) == "to all"
    assert next(with_client).text == "to all"


def test_a_stream_of_requests_is_not_served(where):
    members, hub = where
    _, ref = members.join(hub)

    def ask(room):
        with pytest.raises(actorrpc.RpcError, match=r"UNIMPLEMENTED.*a stream of requests"):
            StatefulStub(ref).Talk(iter([Item()]))

    members.by(0, ask)


def test_what_goes_along(where):
    """The identity and the context of the caller's call, and who calls, who can be called back."""
    members, hub = where
    _, ref = members.join(hub)
    seen = []

    def look(member, request, call):
        seen.append((call.identity, dict(call.context), call.caller, call.key, call.time_remaining()))
        RoomStub(call.caller).Post.tell(Line(text="back"))
        return request

    def ask(room):
        room.calls[0].context["tenant"] = "acme"
        room.calls[0].context["own"] = "secret"
        room.calls[0].context.pass_on("tenant")
        StatefulStub(ref).Unary(Item(), timeout=9)
        return room.ref

    does["Unary"] = look
    room = members.by(0, ask)
    acts.clear()
    identity, context, caller, key, remaining = seen[0]  # what is told back may have it ask again
    assert (identity, context, caller, key) == ("", {"tenant": "acme"}, room, "")
    assert 0 < remaining <= 9


def test_members_call_each_other_and_are_called_back(where):
    members, hub = where
    stub, _ = members.join()
    other_stub, other = members.join(hub)

    def act(member, request, call):
        if request.text == "ask":
            return StatefulStub(other).Unary(Item(text="asked"))
        StatefulStub(call.caller).Beside(Item(text="called back"))
        return note(member, request, call)

    does["Unary"] = act
    assert stub.Unary(Item(text="ask"), timeout=20).text == "asked"
    assert stub.Notes(Item(), timeout=20).text == "called back"
    assert other_stub.Notes(Item(), timeout=20).text == "asked"


def test_a_circle_is_seen(where):
    members, hub = where
    stub, ref = members.join(hub)
    acts["a.Post"] = lambda room, request, call: RoomStub(room.actor("b")).Post(request)
    acts["b.Post"] = lambda room, request, call: Line(text=StatefulStub(ref).Unary(Item()).text)
    does["Unary"] = lambda member, request, call: Item(text=RoomStub(member.actor("a")).Post(Line()).text)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Unary(Item(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    me = f"shapes.Stateful on {ref.connection}"
    assert f"{me} -> rooms.Room/a -> rooms.Room/b -> {me}" in caught.value.details()
    acts["b.Post"] = lambda room, request, call: Line(text=StatefulStub(ref).Beside(Item(text="x")).text)
    assert stub.Unary(Item(), timeout=20).text == "x"


def test_a_deadline_and_a_cancelled_call_interrupt_the_handler(where):
    members, hub = where
    stub, ref = members.join(hub)
    ended, begun = [], []

    def block(member, request, call):
        begun.append(1)
        try:
            gevent.sleep(60)
        except actorrpc.CallInterrupted as error:
            ended.append(type(error).__name__)
            raise

    def late(room):
        with pytest.raises(actorrpc.CallError, match="DEADLINE_EXCEEDED"):
            StatefulStub(ref).Unary(Item(), timeout=0.05)

    def cancels(room):
        future = StatefulStub(ref).Unary.future(Item())
        while len(begun) < 2:
            gevent.sleep(0.001)
        assert future.cancel()

    does["Unary"] = block
    members.by(0, late)
    members.hubs.wait_for(lambda: ended == ["DeadlineExceeded"])
    members.by(0, cancels)
    members.hubs.wait_for(lambda: ended == ["DeadlineExceeded", "CallCancelled"])
    does.clear()
    assert stub.Unary(Item(text="free again"), timeout=20).number == 1
    members.hubs.wait_for(members.at_rest)


def test_the_actor_hears_of_the_end_of_each_call(where):
    members, hub = where
    stub, ref = members.join(hub)
    ended = []
    does["on_call_end"] = lambda member, item, call: ended.append((item.text, item.number, call.caller))
    room = members.by(0, lambda room: StatefulStub(ref).Unary(Item(text="x")) and room.ref)
    members.hubs.wait_for(lambda: ended)
    stub.Unary(Item(text="y"), timeout=20)
    members.hubs.wait_for(lambda: len(ended) == 2)
    assert ended == [("", 0, room), ("", 0, None)]


def test_calls_and_the_client_s_wait_in_one_mailbox_and_nothing_mixes():
    """A hundred of each at once, with bodies: the client's windows are as they were."""
    with group(2) as members:
        stub, ref = members.join(1)
        body = bytes(30_000)

        def ask(room):
            futures = [StatefulStub(ref).Unary.future(Item(text=f"r{n}", body=body)) for n in range(100)]
            return [future.result().text for future in futures]

        asked, results = members.begin_by(0, ask)
        futures = [stub.Unary.future(Item(text=f"c{n}", body=body), timeout=20) for n in range(100)]
        assert [future.result().text for future in futures] == [f"c{n}" for n in range(100)]
        asked.result()
        assert results == [[f"r{n}" for n in range(100)]]
        notes = stub.Notes(Item(), timeout=20).text.split()
        for kind in "rc":
            assert [each for each in notes if each[0] == kind] == [f"{kind}{n}" for n in range(100)]
        connection = members.hubs.nodes[1].connections[ref.connection]
        session = connection.session
        assert (session.inbound.held, session.inbound.waiting, connection.incoming.waiting_bytes) == (0, 0, 0)
        assert not connection.calls
        members.hubs.wait_for(members.at_rest)


def test_so_many_may_wait_and_no_more():
    with group(max_mailbox=3) as members:
        _, ref = members.join()
        go = []

        def block(member, request, call):
            while not go:
                gevent.sleep(0.001)
            return note(member, request, call)

        def ask(room):
            futures = [StatefulStub(ref).Unary.future(Item(text="x")) for _ in range(6)]
            refused = [future.code() for future in futures if future.done()]
            go.append(1)
            return refused, [future.code() for future in futures]

        does["Unary"] = block
        refused, codes = members.by(0, ask)
        assert set(refused) == {StatusCode.RESOURCE_EXHAUSTED}
        assert codes.count(StatusCode.OK) in (3, 4) and len(refused) == 6 - codes.count(StatusCode.OK)
        # What waits has 4 MiB, and one message may be larger.
        go.clear()
        large = Item(body=bytes(3 * 1024 * 1024))

        def ask_much(room):
            blocked = StatefulStub(ref).Unary.future(Item())
            gevent.sleep(0)
            futures = [StatefulStub(ref).Unary.future(large) for _ in range(2)]
            refused = [future.details() for future in futures if future.done()]
            go.append(1)
            return refused, [future.code() for future in (blocked, *futures)]

        refused, codes = members.by(0, ask_much)
        assert len(refused) == 1 and "bytes of requests wait on connection" in refused[0]
        assert codes == [StatusCode.OK, StatusCode.OK, StatusCode.RESOURCE_EXHAUSTED]


def test_calls_within_a_hub_touch_no_socket():
    with group(2) as members:
        refs = [members.join()[1] for _ in range(5)]
        members.place(a=0)
        said = []
        node = members.hubs.nodes[0]
        send = node.links.send
        members.hubs.ask(
            lambda: setattr(node.links, "send", lambda *message: said.append(message) or send(*message))
        )
        members.hubs.ask(lambda: setattr(node.exchange, "_send", node.links.send))
        acts["a.Post"] = lambda room, request, call: (
            [StatefulStub(ref).Unary(Item()) for ref in refs] and request
        )
        members.post("a")
        assert said == []


def test_interceptors_have_seen_the_call_where_it_began():
    seen = []

    class Looks(actorrpc.Interceptor):
        def on_call(self, call):
            seen.append(("call", call.method))

        def on_end(self, call, status, message):
            seen.append(("end", call.method))

    with group(2, actorrpc.App([Room, Member], interceptors=[Looks()])) as members:
        _, ref = members.join(1)
        members.place(**{"asker 0": 0})
        members.hubs.wait_for(lambda: len(seen) == 4)
        seen.clear()
        members.by(0, lambda room: StatefulStub(ref).Unary(Item(text="x")).text)
        members.hubs.wait_for(lambda: ("end", "/rooms.Room/Post") in seen)
        assert not any("Stateful" in method for _, method in seen)


def test_each_identity_has_its_actor_and_its_reference():
    app = actorrpc.App([Room, Member], identity=lambda call: str(call.metadata.get("user", "")))
    with group(2, app, identity_idle=0.2) as members:
        stub, own = members.join(1)
        ann, bob = members.who(stub, "ann"), members.who(stub, "bob")
        assert [own.identity, ann.identity, bob.identity] == ["", "ann", "bob"]
        assert len({own.seal, ann.seal, bob.seal}) == 3
        seen = []

        def look(member, request, call):
            seen.append((member._identity, call.identity))
            return note(member, request, call)

        does["Unary"] = look

        def ask(room):
            for ref in (ann, bob, own):
                StatefulStub(ref).Unary(Item(text=ref.identity or "own"))

        members.place(**{"asker 0": 0})
        acts["asker 0.Post"] = lambda room, request, call: ask(room) or request
        members.client.Post(Line(room="asker 0"), metadata=[("user", "cid")], timeout=20)
        assert seen == [("ann", "cid"), ("bob", "cid"), ("", "cid")], "the caller's identity goes along"
        notes = stub.Notes(Item(), metadata=[("user", "bob")], timeout=20)
        assert notes.text == "bob"
        # One that nobody calls for a while ends, and its reference leads to nobody; the connection lives.
        connection = members.hubs.nodes[1].connections[own.connection]
        members.hubs.wait_for(lambda: not connection.cells.identities)
        code, message = members.status(0, ann)
        assert code is StatusCode.NOT_FOUND and "the actor on that has" in message
        assert members.status(0, own)[0] is StatusCode.OK


def test_who_is_called_by_reference_is_in_use():
    """An identity's actor does not end while others call it."""
    app = actorrpc.App([Room, Member], identity=lambda call: str(call.metadata.get("user", "")))
    with group(1, app, identity_idle=0.1) as members:
        stub, _ = members.join()
        ann = members.who(stub, "ann")
        listening, _ = members.begin_by(0, lambda room: [*StatefulStub(ann).Listen(Item())])
        connection = members.hubs.nodes[0].connections[ann.connection]
        members.hubs.wait_for(lambda: members.incoming(ann))
        looks = connection.cells.identities._looks
        first = looks[0][0]
        members.hubs.wait_for(lambda: looks[0][0] > first)  # it has been looked at, and stays
        assert connection.cells.get("shapes.Stateful of ann") is not None
        listening.cancel()
        members.hubs.wait_for(lambda: not connection.cells.identities)
