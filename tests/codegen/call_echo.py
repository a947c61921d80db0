"""A program: calls a real grpcio server through a generated stub, over a sync and an asyncio channel.

``test_stub`` runs it with the generated modules on its path.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from plain_actorrpc import EchoBase, EchoStub

METADATA = [("nick", "ada"), ("token-bin", b"\0\xff")]


def say(request: StringValue, context: Any) -> StringValue:
    sent = dict(context.invocation_metadata())
    return StringValue(value=f"{request.value} {sent['nick']} {sent['token-bin']!r}")


def count(request: Int32Value, context: Any) -> Iterator[Int32Value]:
    return (Int32Value(value=value) for value in range(request.value))


def total(requests: Iterator[Int32Value], context: Any) -> Int32Value:
    return Int32Value(value=sum(request.value for request in requests))


def ping(requests: Iterator[Empty], context: Any) -> Iterator[Empty]:
    return (Empty() for _ in requests)


HANDLERS = {"Say": say, "Count": count, "Sum": total, "Ping": ping}


def serve() -> tuple[Any, str]:
    """Serve what the generated module describes: grpcio knows nothing else of the service."""
    server = grpc.server(ThreadPoolExecutor(4))
    spec = EchoBase.__rpc__
    handlers = {
        method.name: getattr(grpc, f"{method.shape}_rpc_method_handler")(
            HANDLERS[method.name],
            request_deserializer=method.request.FromString,
            response_serializer=method.reply.SerializeToString,
        )
        for method in spec.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(spec.name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def call(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = EchoStub(channel)
        assert repr(stub) == "<EchoStub of Echo>"
        reply = stub.Say(StringValue(value="hello"), timeout=10, metadata=METADATA)
        assert reply.value == r"hello ada b'\x00\xff'"
        assert [reply.value for reply in stub.Count(Int32Value(value=3), timeout=10)] == [0, 1, 2]
        assert stub.Sum((Int32Value(value=value) for value in (1, 2, 3)), timeout=10).value == 6
        assert list(stub.Ping(iter([Empty(), Empty()]), timeout=10)) == [Empty(), Empty()]
        stub.Count(Int32Value(value=3)).cancel()
        call_as_grpcio_does(stub)


def call_as_grpcio_does(stub: EchoStub) -> None:
    """All that can be given, and what there is where the reply is one message."""
    given: Any = {"timeout": 10, "wait_for_ready": True, "compression": grpc.Compression.Gzip}
    numbers = [Int32Value(value=value) for value in (1, 2)]
    said, call = stub.Say.with_call(StringValue(value="hello"), metadata=METADATA, **given)
    assert said.value.startswith("hello ada") and call.code() is grpc.StatusCode.OK
    assert call.is_active() is False and dict(call.trailing_metadata()) == {}
    total, call = stub.Sum.with_call(iter(numbers), **given)
    assert total.value == 3 and call.code() is grpc.StatusCode.OK
    assert stub.Say.future(StringValue(value="hello"), metadata=METADATA, **given).result(10).value
    begun = stub.Sum.future(iter(numbers), **given)
    assert begun.result(10).value == 3 and begun.done() and begun.code() is grpc.StatusCode.OK
    replies = stub.Count(numbers[1], **given)
    assert [reply.value for reply in replies] == [0, 1] and replies.code() is grpc.StatusCode.OK
    pings = stub.Ping(iter([Empty()]), **given)
    assert list(pings) == [Empty()] and pings.code() is grpc.StatusCode.OK
    for streamed in (stub.Count, stub.Ping):
        assert not hasattr(streamed, "future") and not hasattr(streamed, "with_call")


async def call_asyncio(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = EchoStub(channel)
        reply = await stub.Say(StringValue(value="hello"), timeout=10, metadata=METADATA)
        assert reply.value == r"hello ada b'\x00\xff'"
        assert [reply.value async for reply in stub.Count(Int32Value(value=3), timeout=10)] == [0, 1, 2]
        assert (await stub.Sum(iter([Int32Value(value=4)]), timeout=10)).value == 4
        assert [reply async for reply in stub.Ping(iter([Empty()]), timeout=10)] == [Empty()]


def main() -> None:
    server, address = serve()
    call(address)
    asyncio.run(call_asyncio(address))
    server.stop(None).wait()
    assert "gevent" not in sys.modules


if __name__ == "__main__":
    main()
