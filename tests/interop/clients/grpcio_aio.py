"""grpcio's asyncio client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from tests.interop.clients.client import DEFAULT, Client, Conversation, Options, Outcome
from tests.interop.clients.grpcio_sync import CHANNEL_OPTIONS, keywords, serialization
from tests.support.endpoints import Endpoint


async def outcome(call: Any, replies: list[Message]) -> Outcome:
    """How a call ended; waits for it."""
    code, details = await call.code(), await call.details() or ""
    if details == "Internal error from Core" and call.time_remaining() == 0:
        # What grpcio says, of any server, where the deadline passes while it begins the call.
        code = grpc.StatusCode.DEADLINE_EXCEEDED
    return Outcome(
        code.value[0],
        details,
        replies,
        list(await call.initial_metadata() or ()),
        list(await call.trailing_metadata() or ()),
    )


class AioConversation(Conversation):
    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, message: Message) -> None:
        try:
            await self._call.write(message)
        except grpc.RpcError:
            pass  # the call has ended, and the outcome tells how

    async def receive(self) -> Message | None:
        try:
            reply = await self._call.read()
        except grpc.RpcError:
            return None  # the outcome tells
        return None if reply is grpc.aio.EOF else reply

    async def half_close(self) -> None:
        await self._call.done_writing()

    async def cancel(self) -> None:
        self._call.cancel()

    async def outcome(self) -> Outcome:
        replies = []
        while not self._call.done() and (reply := await self.receive()) is not None:
            replies.append(reply)
        return await outcome(self._call, replies)


class GrpcioAio(Client):
    def __init__(self, channel: grpc.aio.Channel, endpoint: Endpoint) -> None:
        self._channel = channel
        self._endpoint = endpoint

    @classmethod
    @asynccontextmanager
    async def connect(cls, endpoint: Endpoint) -> AsyncIterator[GrpcioAio]:
        async with endpoint.aio_channel(CHANNEL_OPTIONS) as channel:
            yield cls(channel, endpoint)

    def another(self) -> Any:
        return self.connect(self._endpoint)

    async def unary(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        method = self._channel.unary_unary(path, **serialization(path))
        return await self._single(method(request, **keywords(options)))

    async def expand(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        method = self._channel.unary_stream(path, **serialization(path))
        return await AioConversation(method(request, **keywords(options))).outcome()

    async def collect(self, path: str, requests: Sequence[Message], options: Options = DEFAULT) -> Outcome:
        method = self._channel.stream_unary(path, **serialization(path))
        return await self._single(method(iter(requests), **keywords(options)))

    async def collect_and_cancel(self, path: str) -> Outcome:
        call = self._channel.stream_unary(path, **serialization(path))()
        call.cancel()
        return await outcome(call, [])

    async def talk(self, path: str, options: Options = DEFAULT) -> Conversation:
        return AioConversation(self._channel.stream_stream(path, **serialization(path))(**keywords(options)))

    async def _single(self, call: Any) -> Outcome:
        try:
            replies = [await call]
        except grpc.RpcError:
            replies = []  # the outcome tells
        return await outcome(call, replies)
