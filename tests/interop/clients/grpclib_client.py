"""grpclib's asyncio client. Its stream is the same for every shape of method."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpclib.client
from google.protobuf.message import Message
from grpclib import GRPCError, Status
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import H2Protocol

from actorrpc.net.addresses import parse_address
from tests.interop.clients.client import DEFAULT, METHODS, Client, Conversation, Options, Outcome, T
from tests.support.endpoints import Endpoint
from tests.support.waiting import PATIENCE

SHAPES = {
    (False, False): grpclib.client.UnaryUnaryMethod,
    (False, True): grpclib.client.UnaryStreamMethod,
    (True, False): grpclib.client.StreamUnaryMethod,
    (True, True): grpclib.client.StreamStreamMethod,
}


class GrpclibConversation(Conversation):
    """A call. What fails it is kept, and given to the library at the end: it knows what a reset meant."""

    def __init__(self, context: Any, stream: Any) -> None:
        self._context = context
        self._stream = stream
        self._failure: Exception | None = None
        self._cancelled = False

    async def begin(self) -> None:
        await self._attempt(self._stream.send_request())

    async def send(self, message: Message, *, last: bool = False) -> None:
        await self._attempt(self._stream.send_message(message, end=last))

    async def receive(self) -> Message | None:
        return await self._attempt(self._stream.recv_message())

    async def half_close(self) -> None:
        await self._attempt(self._stream.end())

    async def cancel(self) -> None:
        await self._stream.cancel()
        self._cancelled = True

    async def outcome(self) -> Outcome:
        replies = []
        while not self._over and (reply := await self.receive()) is not None:
            replies.append(reply)
        try:
            await self._leave()
            status = Status.CANCELLED if self._cancelled else Status.OK
            message = None
        except GRPCError as error:
            status, message = error.status, error.message
        except asyncio.TimeoutError:
            status, message = Status.DEADLINE_EXCEEDED, None
        return Outcome(
            status.value,
            message or "",
            replies,
            list((self._stream.initial_metadata or {}).items()),
            list((self._stream.trailing_metadata or {}).items()),
        )

    @property
    def _over(self) -> bool:
        return self._cancelled or self._failure is not None

    async def _attempt(self, step: Coroutine[Any, Any, T]) -> T | None:
        try:
            return await step
        except (GRPCError, StreamTerminatedError, asyncio.TimeoutError) as failure:
            self._failure = failure
            return None

    async def _leave(self) -> None:
        """End the library's own context. Raises what failed the call."""
        failure = self._failure
        await self._context.__aexit__(type(failure) if failure else None, failure, None)
        if failure:
            raise failure


class Channel(grpclib.client.Channel):
    """One that can be waited for: asyncio closes a connection of TLS only when the server has, too."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(*parse_address(endpoint.address), ssl=endpoint.context())
        #: Of each connection that was made: whether it has ended.
        self._ended: list[asyncio.Event] = []

    def _protocol_factory(self) -> H2Protocol:
        made = super()._protocol_factory()
        return Protocol(self._ended, made.handler, made.config, made.h2_config)

    async def __aexit__(self, *exc: Any) -> None:
        await super().__aexit__(*exc)
        for ended in self._ended:
            await asyncio.wait_for(ended.wait(), PATIENCE)


class Protocol(H2Protocol):
    def __init__(self, ended: list[asyncio.Event], *arguments: Any) -> None:
        super().__init__(*arguments)
        self._all_ended = ended
        self._ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all_ended.append(self._ended)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._ended.set()


class Grpclib(Client):
    def __init__(self, channel: Channel, endpoint: Endpoint) -> None:
        self._channel = channel
        self._endpoint = endpoint

    @classmethod
    @asynccontextmanager
    async def connect(cls, endpoint: Endpoint) -> AsyncIterator[Grpclib]:
        channel = Channel(endpoint)
        async with channel:
            yield cls(channel, endpoint)

    def another(self) -> Any:
        return self.connect(self._endpoint)

    async def unary(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        return await self.collect(path, [request], options)

    async def expand(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        return await self.collect(path, [request], options)

    async def collect(self, path: str, requests: Sequence[Message], options: Options = DEFAULT) -> Outcome:
        call = await self.talk(path, options)
        for number, request in enumerate(requests, 1):
            await call.send(request, last=number == len(requests))
        return await call.outcome()

    async def collect_and_cancel(self, path: str) -> Outcome:
        call = await self.talk(path)
        await call.cancel()
        return await call.outcome()

    async def talk(self, path: str, options: Options = DEFAULT) -> GrpclibConversation:
        assert not options.compressed, "grpclib has no compression"
        method = METHODS[path]
        shape = SHAPES[method.client_streaming, method.server_streaming]
        context = shape(self._channel, path, method.request, method.reply).open(
            timeout=options.timeout, metadata=list(options.metadata)
        )
        call = GrpclibConversation(context, await context.__aenter__())
        await call.begin()
        return call
