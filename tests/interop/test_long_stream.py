"""100,000 numbered messages on one bidirectional stream through at least 1,000 moves."""

from __future__ import annotations

import grpc

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.interop.served import served

MESSAGES = 100_000
MOVES = 1_000


def test_nothing_is_lost_doubled_or_reordered():
    with served("--move-every", "50") as server, grpc.insecure_channel(server.address) as channel:
        stub = StatefulStub(channel)
        replies = stub.Talk(Item(number=number) for number in range(MESSAGES))
        for expected, reply in enumerate(replies):
            assert reply.number == expected
        assert expected == MESSAGES - 1
        assert stub.Notes(Item()).number == MESSAGES, "the actor's own count"
        moves = server.wait_for(
            lambda: moves if (moves := server.status()["moves"])["done"] >= MOVES else None
        )
        assert moves["aborted"] == 0
