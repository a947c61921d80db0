"""grpcio clients, each with a connection and an open stream of its own, that make numbered calls.

Every period, each client sends a ping over its stream and makes a unary call on the same connection, to an
actor that counts. The reply to the ping must say the same address of the client as ever, and the actor must
have counted what the client has.

It says ``ready`` when all have begun. At a line from its standard input, or its end, all end their streams,
and it prints JSON: ``calls``, as [BEGAN, TOOK] in seconds of the machine's monotonic clock; ``failed``, what
was wrong with each call that failed, after which its client makes no more; and ``lost``, how many of these
clients have no connection any more, or another one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import grpc

from benchmarks.gen.bench_pb2 import Note, Ping, Place, Size
from benchmarks.gen.bench_pb2_grpc import CounterStub, MovableStub

#: A call that takes longer has been lost.
_TIMEOUT = 60.0
#: Each has a connection of its own, and no call is made twice.
_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class Client:
    """One of them. ``calls`` and ``failed`` are added to."""

    def __init__(self, address: str, calls: list[tuple[float, float]], failed: list[str]) -> None:
        self._channel = grpc.aio.insecure_channel(address, _OPTIONS)
        self._movable = MovableStub(self._channel)
        self._counter = CounterStub(self._channel)
        self._stream = self._movable.PingPong()
        self._calls = calls
        self._failed = failed
        self._peer = ""
        self._counted = 0
        self.lost = False

    async def begin(self) -> None:
        await self._ping()
        await self._add()

    async def run(self, period: float, ended: asyncio.Event) -> None:
        """Make calls until it has ended, or one fails."""
        try:
            await asyncio.sleep(random.uniform(0, period))
            while not ended.is_set():
                began = monotonic()
                await self._timed(self._ping)
                await self._timed(self._add)
                await asyncio.sleep(max(began + period - monotonic(), 0))
            await self._end()
        except (grpc.RpcError, asyncio.TimeoutError, asyncio.InvalidStateError, ValueError) as error:
            self._failed.append(" ".join(str(error).split()) or type(error).__name__)
            self.lost = not await self._is_there()

    async def _timed(self, call: Callable[[], Awaitable[None]]) -> None:
        began = monotonic()
        await asyncio.wait_for(call(), _TIMEOUT)
        self._calls.append((began, monotonic() - began))

    async def _ping(self) -> None:
        await self._stream.write(Ping())
        place = await self._stream.read()
        if not isinstance(place, Place):
            raise ValueError(f"the stream has ended: {await self._stream.code()}")
        if self._peer not in ("", place.peer):
            raise ValueError(f"the stream from {self._peer} goes on to {place.peer}")
        self._peer = place.peer

    async def _add(self) -> None:
        self._counted += 1
        count = await self._counter.Add(Note(number=self._counted))
        if count.calls != self._counted:
            raise ValueError(f"call {self._counted} was counted as the {count.calls}th")

    async def _end(self) -> None:
        await self._stream.done_writing()
        if await self._stream.read() is not grpc.aio.EOF:
            raise ValueError("a reply too many")
        if (code := await self._stream.code()) is not grpc.StatusCode.OK:
            raise ValueError(f"the stream ended with {code}")

    async def _is_there(self) -> bool:
        """Whether its connection still is."""
        try:
            place: Place = await self._movable.Resize(Size(), timeout=_TIMEOUT)
        except grpc.RpcError:
            return False
        return place.peer == self._peer

    async def close(self) -> None:
        await self._channel.close()


async def run(options: argparse.Namespace) -> dict[str, Any]:
    calls: list[tuple[float, float]] = []
    failed: list[str] = []
    clients = [Client(options.address, calls, failed) for _ in range(options.clients)]
    for client in clients:
        await asyncio.wait_for(client.begin(), _TIMEOUT)
    gc.collect()
    gc.disable()  # its pauses are not the server's
    ended = asyncio.Event()
    running = [asyncio.create_task(client.run(options.period, ended)) for client in clients]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ended.set()
    await asyncio.gather(*running)
    for client in clients:
        await client.close()
    return {"calls": calls, "failed": failed, "lost": sum(client.lost for client in clients)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("clients", type=int)
    parser.add_argument("period", type=float, help="seconds from one pair of calls to the next")
    options = parser.parse_args()
    try:
        found = asyncio.run(run(options))
    except (grpc.RpcError, asyncio.TimeoutError, OSError, ValueError) as error:
        sys.exit(f"the clients cannot begin: {error}")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
