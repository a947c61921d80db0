"""grpcio's asyncio client against two hubs in processes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.apps.shapes_actorrpc import StatefulStub, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.endpoints import Endpoint

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]

Test = Callable[[Any], Awaitable[None]]


@pytest.fixture(params=[StatelessStub, StatefulStub], ids=["stateless", "stateful"])
def run(request: pytest.FixtureRequest, endpoint: Endpoint) -> Callable[[Test], None]:
    """Run a test with a stub on a channel of its own."""

    async def main(test: Test) -> None:
        async with endpoint.aio_channel(OPTIONS) as channel:
            await asyncio.wait_for(test(request.param(channel)), 60)

    return lambda test: asyncio.run(main(test))


async def items(count: int, **fields: Any) -> AsyncIterator[Item]:
    for number in range(count):
        yield Item(number=number, **fields)


async def numbers(replies: AsyncIterator[Item]) -> list[int]:
    return [reply.number async for reply in replies]


def test_unary(run):
    async def test(stub):
        assert (await stub.Unary(Item(number=1))).number == 1

    run(test)


def test_streams(run):
    async def test(stub):
        assert await numbers(stub.Expand(Item(number=200))) == list(range(200))
        assert (await stub.Collect(items(100))).number in (sum(range(100)), 101)
        assert await numbers(stub.Talk(items(500))) == list(range(500))

    run(test)


def test_streams_side_by_side(run):
    async def test(stub):
        expected = list(range(300))
        results = await asyncio.gather(*(numbers(stub.Talk(items(300))) for _ in range(8)))
        assert results == [expected] * 8

    run(test)


def test_a_thousand_calls_at_once(run):
    async def test(stub):
        replies = await asyncio.gather(*(stub.Unary(Item(number=number)) for number in range(1000)))
        assert sorted(reply.number for reply in replies) in (list(range(1000)), list(range(1, 1001)))

    run(test)


def test_large_messages(run):
    async def test(stub):
        body = bytes(range(256)) * (3_000_000 // 256)
        async for reply in stub.Talk(items(3, body=body)):
            assert reply.body == body

    run(test)


def test_metadata(run):
    async def test(stub):
        call = stub.Unary(Item(), metadata=(("initial", "one"), ("trailing-bin", b"\0\xff")))
        await call
        assert ("initial", "one") in list(await call.initial_metadata())
        assert ("trailing-bin", b"\0\xff") in list(await call.trailing_metadata())

    run(test)


def test_errors(run):
    async def test(stub):
        for status in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ABORTED):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Unary(Item(status=status.value[0], text="ünï%"))
            assert (caught.value.code(), caught.value.details()) == (status, "ünï%")

    run(test)


def test_deadline_and_cancellation_free_the_actor(run):
    async def test(stub):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Unary(Item(sleep=60), timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        blocked = stub.Unary(Item(sleep=60))
        blocked.cancel()
        assert (await stub.Unary(Item(number=1), timeout=20)).number >= 1

    run(test)
