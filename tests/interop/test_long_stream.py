"""Long streams through many moves: thousands of messages each way, and an iterable to a silent client."""

from __future__ import annotations

import os

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.interop import testing_actorrpc
from tests.interop.testing_pb2 import ResponseParameters, StreamingOutputCallRequest
from tests.support.server_process import served

MESSAGES = int(os.environ.get("ACTORRPC_STREAM_MESSAGES", "20000"))
MOVES = MESSAGES // 100


@pytest.fixture(scope="module")
def secure() -> bool:
    """Its clients speak plaintext."""
    return False


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


def test_an_iterable_goes_on_though_its_connection_moves_after_each_reply():
    sizes = [1 + number % 100 for number in range(2_000)]
    parameters = [ResponseParameters(size=size) for size in sizes]
    with (
        served("--move-every", "1", app="tests.interop.service:app") as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        request = StreamingOutputCallRequest(response_parameters=parameters)
        replies = testing_actorrpc.TestServiceStub(channel).StreamingOutputCall(request, timeout=60)
        assert [len(reply.payload.body) for reply in replies] == sizes
