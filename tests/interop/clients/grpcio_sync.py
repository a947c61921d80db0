"""grpcio's synchronous client. Its methods block the event loop, on which nothing else runs."""

from __future__ import annotations

import queue
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import grpc
from google.protobuf.message import Message

from tests.interop.clients.client import DEFAULT, METHODS, Client, Conversation, Options, Outcome
from tests.support.endpoints import Endpoint

CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]  # so that a new channel is a new connection


def keywords(options: Options) -> dict[str, Any]:
    """A call's options as grpcio takes them, synchronous or not."""
    algorithm = grpc.Compression.Gzip if options.compressed else grpc.Compression.NoCompression
    return {"metadata": tuple(options.metadata), "timeout": options.timeout, "compression": algorithm}


def serialization(path: str) -> dict[str, Any]:
    method = METHODS[path]
    return {
        "request_serializer": method.request.SerializeToString,
        "response_deserializer": method.reply.FromString,
    }


def outcome(call: Any, replies: list[Message]) -> Outcome:
    """How a call ended; waits for it."""
    return Outcome(
        call.code().value[0],
        call.details() or "",
        replies,
        [tuple(pair) for pair in call.initial_metadata() or ()],
        [tuple(pair) for pair in call.trailing_metadata() or ()],
    )


class SyncConversation(Conversation):
    def __init__(self, multicallable: Any, options: Options) -> None:
        self._outgoing: queue.Queue[Message | None] = queue.Queue()
        self._call = multicallable(iter(self._outgoing.get, None), **keywords(options))

    async def send(self, message: Message) -> None:
        self._outgoing.put(message)

    async def receive(self) -> Message | None:
        try:
            return next(self._call, None)
        except grpc.RpcError:
            return None  # the outcome tells

    async def half_close(self) -> None:
        self._outgoing.put(None)

    async def cancel(self) -> None:
        self._call.cancel()

    async def outcome(self) -> Outcome:
        replies = list(iter_replies(self._call))
        self._outgoing.put(None)  # lets grpcio's thread that reads the queue end
        return outcome(self._call, replies)


def iter_replies(call: Any) -> Iterator[Message]:
    """The replies until the call ends, however it ends."""
    try:
        yield from call
    except grpc.RpcError:
        pass  # the outcome tells


class GrpcioSync(Client):
    def __init__(self, channel: grpc.Channel, endpoint: Endpoint) -> None:
        self._channel = channel
        self._endpoint = endpoint

    @classmethod
    @asynccontextmanager
    async def connect(cls, endpoint: Endpoint) -> AsyncIterator[GrpcioSync]:
        with endpoint.channel(CHANNEL_OPTIONS) as channel:
            yield cls(channel, endpoint)

    def another(self) -> Any:
        return self.connect(self._endpoint)

    async def unary(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        method = self._channel.unary_unary(path, **serialization(path))
        return self._single(method, request, options)

    async def expand(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        call = self._channel.unary_stream(path, **serialization(path))(request, **keywords(options))
        return outcome(call, list(iter_replies(call)))

    async def collect(self, path: str, requests: Sequence[Message], options: Options = DEFAULT) -> Outcome:
        method = self._channel.stream_unary(path, **serialization(path))
        return self._single(method, iter(requests), options)

    async def collect_and_cancel(self, path: str) -> Outcome:
        cancelled = Event()

        def requests() -> Iterator[Message]:
            cancelled.wait()
            yield from ()

        call = self._channel.stream_unary(path, **serialization(path)).future(requests())
        call.cancel()
        cancelled.set()
        return outcome(call, [])

    async def talk(self, path: str, options: Options = DEFAULT) -> Conversation:
        return SyncConversation(self._channel.stream_stream(path, **serialization(path)), options)

    def _single(self, multicallable: Any, argument: Any, options: Options) -> Outcome:
        # Not `future`: that of a method that streams requests forgets the compression (grpcio 1.85).
        try:
            reply, call = multicallable.with_call(argument, **keywords(options))
        except grpc.RpcError as error:
            return outcome(error, [])
        return outcome(call, [reply])
