"""Whom a reference to a connection's actor leads to: nobody but the one that it was made by."""

from __future__ import annotations

import pytest

import actorrpc
from actorrpc import ActorRef, StatusCode, testing
from actorrpc.hub.invoking.seals import Seals
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import Member, group
from tests.hub.invoking.acting import Room

GONE = "leads to no actor of shapes.Stateful: its connection has ended, or the actor on that has"


def changed(ref: ActorRef, **fields: object) -> ActorRef:
    made = ActorRef.FromString(ref.SerializeToString())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_a_forged_one_is_told_apart_from_none_that_has_gone():
    """All get the same answer, and nothing is looked up for one whose seal is wrong."""
    app = actorrpc.App([Room, Member], identity=lambda call: str(call.metadata.get("user", "")))
    with group(2, app) as members:
        stub, ref = members.join(1)
        ann = members.who(stub, "ann")
        _, other = members.join(1)
        asked = []
        for node in members.hubs.nodes:
            find = node.search.find
            members.hubs.ask(
                lambda node=node, find=find: setattr(
                    node.search, "find", lambda *a, **k: asked.append(a) or find(*a, **k)
                )
            )
        seal = ref.seal
        forged = [
            changed(ref, seal=b""),
            changed(ref, seal=seal[:-1]),
            changed(ref, seal=seal + b"\0"),
            changed(ref, seal=bytes([seal[0] ^ 1]) + seal[1:]),
            changed(ref, seal=bytes(16)),
            changed(ref, connection=other.connection),
            changed(ref, identity="ann"),
            changed(ann, identity=""),
            changed(ann, identity="bob"),
            changed(ref, connection=""),
            changed(ref, connection=f"{ref.connection}\0"),
        ]
        for each in forged:
            code, message = members.status(0, each)
            if each.connection:
                assert (code, GONE in message) == (StatusCode.NOT_FOUND, True), each
            else:
                assert code is StatusCode.INVALID_ARGUMENT
        assert asked == []
        assert members.status(0, ref)[0] is StatusCode.OK
        assert len(asked) == 1
        members.channels[ref.connection].close()
        nodes = members.hubs.nodes
        members.hubs.wait_for(lambda: not any(ref.connection in node.connections for node in nodes))
        assert members.status(0, ref) == members.status(0, forged[0])


def test_a_flood_of_calls_of_one_that_has_ended_costs_one_search():
    with group(3) as members:
        _, ref = members.join(1)
        members.channels[ref.connection].close()
        nodes = members.hubs.nodes
        members.hubs.wait_for(lambda: not any(ref.connection in node.connections for node in nodes))
        members.place(**{"asker 0": 0})
        said = []
        send = nodes[0].links.send
        members.hubs.ask(
            lambda: setattr(nodes[0].links, "send", lambda *message: said.append(message) or send(*message))
        )

        def flood(room):
            stubs = [StatefulStub(each) for each in (ref, changed(ref, connection="0-0-999"))]
            futures = [stub.Unary.future(Item()) for _ in range(500) for stub in stubs]
            return {future.code() for future in futures}

        assert members.by(0, flood) == {StatusCode.NOT_FOUND}
        asked = [message for _, message in said if message.HasField("find_connection")]
        assert [each.find_connection.connection for each in asked] == [ref.connection] * 2
        members.hubs.wait_for(members.at_rest)


def test_one_of_another_server_leads_to_nobody():
    """Also where it says that it is of this one, and the other has a connection with the same id."""
    with group() as members:
        _, ref = members.join()
    with group() as others:
        _, own = others.join()
        assert own.connection == ref.connection and own.server != ref.server and own.seal != ref.seal
        code, message = others.status(0, ref)
        assert code is StatusCode.NOT_FOUND and "on another server" in message
        code, message = others.status(0, changed(ref, server=own.server))
        assert code is StatusCode.NOT_FOUND and GONE in message


def test_one_to_another_service_leads_to_nobody():
    with group() as members:
        _, ref = members.join()
        code, message = members.status(0, changed(ref, service="shapes.Stateless"))
        assert code is StatusCode.INVALID_ARGUMENT and "not of shapes.Stateful" in message


def test_a_key_is_no_way_to_the_actor_of_a_connection():
    """A client chooses keys."""
    with group() as members:
        _, ref = members.join()
        name = f"shapes.Stateful@{ref.connection}"
        for key in (name, f"@{ref.connection}", f"\0{ref.connection}"):
            reply = members.post(key, "x")
            assert reply.room == key
        assert members.incoming(ref) == 0


def test_where_the_broker_knows_no_secret_there_are_none():
    """It may be of an older version, also when it has taken over hubs of a newer one."""
    with group() as members:
        stub, ref = members.join()
        invoking = members.hubs.nodes[0].resources.invoking
        members.hubs.ask(lambda: setattr(invoking, "seals", Seals(b"")))
        code, message = members.status(0, ref)
        assert code is StatusCode.UNAVAILABLE and "knows no references to actors of connections" in message
        with pytest.raises(Exception, match="the handler failed"):
            stub.Unary(Item(text="who"), timeout=20)
        # One without a seal is no better, nor is one with the seal of an empty secret.
        assert members.status(0, changed(ref, seal=b""))[0] is StatusCode.UNAVAILABLE


def test_a_seal_is_of_all_fields_each_on_its_own():
    seals = Seals(b"secret")
    made = {
        seals.make(*fields)
        for fields in [("a", "b", ""), ("ab", "", ""), ("a", "", "b"), ("", "ab", ""), ("a", "b", "c")]
    }
    assert len(made) == 5 and {len(seal) for seal in made} == {16}
    ref = ActorRef(service="a", connection="b", seal=seals.make("a", "b", ""))
    assert seals.fits(ref) and not Seals(b"other").fits(ref)
    assert not Seals(b"").fits(ActorRef(service="a", connection="b"))
    assert "secret" not in repr(seals)


def test_a_reference_that_is_changed_later_is_not_what_the_stub_has():
    with group() as members:
        _, ref = members.join()

        def ask(room):
            given = changed(ref)
            stub = StatefulStub(given)
            given.connection = "0-0-99"
            return stub.Unary(Item(text="x")).text, stub.ref

        assert members.by(0, ask) == ("x", ref)


def test_an_actor_of_a_test_has_a_reference_too():
    member = testing.actor(Member, connection_id="0-1-1")
    assert member.ref == ActorRef(service="shapes.Stateful", connection="0-1-1")
