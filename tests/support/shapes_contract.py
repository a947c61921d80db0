"""What every way of serving must do for every shape of call, told by grpcio's own client.

Subclass ``ShapesContract`` and give it the fixtures ``address``, where tests.apps.shapes is served, and
``logged``, a function that returns what the server has logged.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from tests.apps.shapes_actorrpc import StatefulStub, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.waiting import until

Stub = StatelessStub | StatefulStub

OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)


def items(count: int) -> Iterator[Item]:
    return (Item(number=number) for number in range(count))


def numbers(replies: Iterator[Item]) -> list[int]:
    return [reply.number for reply in replies]


def raw_call(channel: Any, path: str) -> Any:
    """A unary call whose messages are bytes."""
    return channel.unary_unary(path)


class ShapesContract:
    @pytest.fixture
    def connect(self, address: str) -> Callable[[], grpc.Channel]:
        """Makes a channel of its own connection."""
        return lambda: grpc.insecure_channel(address, options=OPTIONS)

    @pytest.fixture
    def channel(self, connect: Callable[[], grpc.Channel]) -> Iterator[grpc.Channel]:
        with connect() as channel:
            yield channel

    @pytest.fixture(params=[StatelessStub, StatefulStub], ids=["stateless", "stateful"])
    def stub(self, request: pytest.FixtureRequest, channel: grpc.Channel) -> Stub:
        stub: Stub = request.param(channel)
        return stub

    def test_unary(self, stub: Stub) -> None:
        assert stub.Unary(Item(number=1)).number == 1

    def test_server_streaming(self, stub: Stub) -> None:
        assert numbers(stub.Expand(Item(number=200))) == list(range(200))

    def test_server_streaming_nothing(self, stub: Stub) -> None:
        assert numbers(stub.Expand(Item(number=0))) == []

    def test_client_streaming_stateless(self, channel: grpc.Channel) -> None:
        assert StatelessStub(channel).Collect(items(100)).number == sum(range(100))

    def test_client_streaming_stateful(self, channel: grpc.Channel) -> None:
        assert StatefulStub(channel).Collect(items(100)).number == 100

    def test_client_streaming_nothing(self, stub: Stub) -> None:
        assert stub.Collect(iter(())).number == 0

    def test_bidirectional(self, stub: Stub) -> None:
        assert numbers(stub.Talk(items(500))) == list(range(500))

    def test_bidirectional_ping_pong(self, stub: Stub) -> None:
        """Each message is sent only when the one before was answered."""
        outgoing: queue.Queue[Item | None] = queue.Queue()
        replies = stub.Talk(iter(outgoing.get, None))
        for number in range(50):
            outgoing.put(Item(number=number))
            assert next(replies).number == number
        outgoing.put(None)
        assert numbers(replies) == []

    @pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 65_536, 3_000_000])
    def test_message_sizes(self, channel: grpc.Channel, size: int) -> None:
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        assert StatelessStub(channel).Unary(Item(body=body)).body == body

    def test_large_stream(self, channel: grpc.Channel) -> None:
        """More than any window, with a client that reads at its own pace."""
        body = b"z" * 100_000
        replies = StatelessStub(channel).Expand(Item(number=100, body=body))
        assert [(reply.number, len(reply.body)) for reply in replies] == [(n, len(body)) for n in range(100)]

    def test_state_is_the_connections(
        self, channel: grpc.Channel, connect: Callable[[], grpc.Channel]
    ) -> None:
        stub = StatefulStub(channel)
        assert [stub.Unary(Item()).number for _ in range(30)] == list(range(1, 31))
        with connect() as other:
            assert StatefulStub(other).Unary(Item()).number == 1

    def test_a_thousand_calls_at_once(self, stub: Stub) -> None:
        futures = [stub.Unary.future(Item(number=number)) for number in range(1000)]
        replies = sorted(future.result().number for future in futures)
        assert replies in (list(range(1000)), list(range(1, 1001)))

    def test_metadata(self, channel: grpc.Channel) -> None:
        metadata: list[tuple[str, str | bytes]] = [
            ("initial", "one"),
            ("trailing-bin", b"\0\xff"),
            ("trailing-bin", b"two"),
        ]
        call: Any
        _, call = StatelessStub(channel).Unary.with_call(Item(), metadata=metadata)
        assert ("initial", "one") in [tuple(pair) for pair in call.initial_metadata()]
        trailing = [value for key, value in call.trailing_metadata() if key == "trailing-bin"]
        assert trailing == [b"\0\xff", b"two"]

    @pytest.mark.parametrize("status", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
    def test_statuses(self, channel: grpc.Channel, status: grpc.StatusCode) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            StatelessStub(channel).Unary(Item(status=status.value[0], text="ünï% \n code"))
        error: Any = caught.value
        assert error.code() is status
        assert error.details() == "ünï% \n code"
        assert ("why", "asked for") in [tuple(pair) for pair in error.trailing_metadata()]

    def test_error_after_replies(self, channel: grpc.Channel) -> None:
        def requests() -> Iterator[Item]:
            yield Item(number=1)
            yield Item(status=5, text="no")

        replies = StatelessStub(channel).Talk(requests())
        assert next(replies).number == 1
        with pytest.raises(grpc.RpcError) as caught:
            next(replies)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    def test_a_bug_is_unknown_and_its_words_stay_here(self, stub: Stub, logged: Callable[[], str]) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Unary(Item(text="bug"))
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert "secret" not in (caught.value.details() or "")
        until(lambda: "the secret of the handler" in logged())
        assert stub.Unary(Item(number=1)).number == 1  # the connection lives on

    def test_deadline_interrupts_a_blocked_handler(self, stub: Stub) -> None:
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            stub.Unary(Item(sleep=30), timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert stub.Unary(Item(number=1), timeout=10).number == 1  # the actor is free at once
        assert time.monotonic() - began < 10

    def test_cancellation_interrupts_a_blocked_handler(self, stub: Stub) -> None:
        blocked = stub.Unary.future(Item(sleep=30))
        blocked.cancel()
        assert stub.Unary(Item(number=1), timeout=10).number == 1

    def test_cancelling_a_stream(self, stub: Stub) -> None:
        replies = stub.Talk(items(10_000_000))
        assert next(replies).number == 0
        replies.cancel()
        assert stub.Collect(iter(()), timeout=10).number >= 0

    def test_unknown_method(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            raw_call(channel, "/shapes.Stateless/Nope")(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "/shapes.Stateless/Nope" in (caught.value.details() or "")

    def test_bytes_that_are_no_message(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            raw_call(channel, "/shapes.Stateless/Unary")(b"\xff\xff\xff")
        assert caught.value.code() is grpc.StatusCode.INTERNAL

    def test_message_over_the_limit(self, channel: grpc.Channel) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            StatelessStub(channel).Unary(Item(body=b"x" * (4 * 1024 * 1024 + 1)))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert StatelessStub(channel).Unary(Item(number=3)).number == 3
