"""What calls by reference leave behind: nothing that the garbage collector would have to find."""

from __future__ import annotations

import gc

import pytest

import actorrpc
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.outgoing import OutgoingCall
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.serving.incoming_calls import IncomingCalls
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import Member, StatefulStub, group

KINDS = (actorrpc.Call, Connection, IncomingCalls, Answers, OutgoingCall, Member)


def alive() -> int:
    return sum(isinstance(each, KINDS) for each in gc.get_objects())


def connections(id: str) -> int:
    return sum(isinstance(each, Connection) and each.id == id for each in gc.get_objects())


@pytest.mark.parametrize("end", ["ended", "open", "moves", "moves while it is open"])
def test_nothing_is_left_for_the_collector(end: str) -> None:
    with group(2) as members:
        members.place(**{"asker 0": 0})
        members.by(0, lambda room: None)
        members.hubs.wait_for(members.at_rest)
        gc.collect()
        gc.disable()
        try:
            before = alive()
            _, ref = members.join()
            if end.endswith("open"):
                asking, _ = members.begin_by(0, lambda room: [*StatefulStub(ref).Listen(Item())])
                members.hubs.wait_for(lambda: members.incoming(ref))
            else:
                members.by(0, lambda room: StatefulStub(ref).Unary(Item(text="x")).text)
                asking = None
            if end.startswith("moves"):
                # Its own, and those of other tests that their exceptions keep: the names are the same.
                there = connections(ref.connection)
                members.carry(ref, 1)
                members.hubs.wait_for(lambda: connections(ref.connection) == there)
            members.channels.pop(ref.connection).close()
            nodes = members.hubs.nodes
            members.hubs.wait_for(lambda: not any(ref.connection in node.connections for node in nodes))
            if asking is not None:
                assert asking.exception() is not None
            members.hubs.wait_for(members.at_rest)
            members.hubs.wait_for(lambda: alive() <= before)
        finally:
            gc.enable()
