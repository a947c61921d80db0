"""What calls by reference leave behind: nothing that the garbage collector would have to find."""

from __future__ import annotations

import pytest

import actorrpc
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.outgoing import OutgoingCall
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.serving.incoming_calls import IncomingCalls
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import Member, StatefulStub, group
from tests.support.collector import alive, no_collector

KINDS = (actorrpc.Call, Connection, IncomingCalls, Answers, OutgoingCall, Member)


@pytest.mark.parametrize("end", ["ended", "open", "moves", "moves while it is open"])
def test_nothing_is_left_for_the_collector(end: str) -> None:
    with group(2) as members:
        members.place(**{"asker 0": 0})
        members.by(0, lambda room: None)
        members.hubs.wait_for(members.at_rest)
        with no_collector():
            _, ref = members.join()
            if end.endswith("open"):
                asking, _ = members.begin_by(0, lambda room: [*StatefulStub(ref).Listen(Item())])
                members.hubs.wait_for(lambda: members.incoming(ref))
            else:
                members.by(0, lambda room: StatefulStub(ref).Unary(Item(text="x")).text)
                asking = None
            if end.startswith("moves"):
                members.carry(ref, 1)
                members.hubs.wait_for(lambda: alive(Connection) == 1)
            members.channels.pop(ref.connection).close()
            nodes = members.hubs.nodes
            members.hubs.wait_for(lambda: not any(ref.connection in node.connections for node in nodes))
            if asking is not None:
                assert asking.exception() is not None
            members.hubs.wait_for(members.at_rest)
            members.hubs.wait_for(lambda: not alive(*KINDS))
