"""Clients of ``releases``: each holds streams open, and counts whatever it says and hears."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Coroutine
from types import ModuleType
from typing import Any

import grpc
import grpc.aio

from tests.support.waiting import PATIENCE

__all__ = ["Caller", "Callers"]

#: Between two calls of one client, in seconds, and how many share a topic: each hears all that they say.
THINK = 0.1
ROOM = 4


class Caller:
    """A client with a connection of its own: an open Watch, Talk and Listen, and call after call."""

    def __init__(self, number: int, address: str, pb: ModuleType, rpc: ModuleType, think: float) -> None:
        self.name = f"caller {number}"
        self.room = f"room {number // ROOM}"
        self._think = think
        self.sent = 0
        self.watched = self.talked = 0
        #: By publisher, the number of its last post.
        self.heard: Counter[str] = Counter()
        self.releases: list[int] = []
        #: What went otherwise than it should, and the longest that a reply took, in seconds.
        self.faults: list[str] = []
        self.longest = 0.0
        #: The status that ended something before it wanted that to end.
        self.ended: grpc.StatusCode | None = None
        self._leaving = False
        self._pb = pb
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub: Any = rpc.LifeStub(self.channel)

    async def begin(self) -> None:
        """Open what stays open."""
        self._watch = self.stub.Watch(self._pb.Number())
        self._talk = self.stub.Talk()
        self._listen = self.stub.Listen(self._pb.Post(room=self.room))
        assert await self._watch.initial_metadata()
        self._readers = [
            asyncio.create_task(self._read(what)) for what in (self._read_watch, self._read_listen)
        ]
        while not self.heard[f"knock of {self.name}"]:  # until the subscription stands
            await self.stub.Publish(self._pb.Post(room=self.room, publisher=f"knock of {self.name}"))
            await asyncio.sleep(0.01)

    async def run(self, stopping: asyncio.Event) -> None:
        """Call until it is to stop."""
        while not stopping.is_set() and self.ended is None:
            await self.call()
            await asyncio.sleep(self._think)

    async def call(self, takes: float = 0.0) -> None:
        """One round of all that there is."""
        self.sent += 1
        try:
            request = self._pb.Number(number=self.sent, takes=takes)
            reply = await self._timed(self.stub.Count(request, timeout=PATIENCE), takes)
            self._expect("Count", reply.number, self.sent)
            if not self.releases or self.releases[-1] != reply.release:
                self.releases.append(reply.release)
            await self._talk.write(self._pb.Number(number=self.sent))
            self.talked += 1
            if (reply := await self._timed(self._talk.read())) is grpc.aio.EOF:
                raise asyncio.InvalidStateError("Talk has ended")
            self._expect("Talk", reply.number, self.talked)
            post = self._pb.Post(room=self.room, publisher=self.name, number=self.sent)
            await self._timed(self.stub.Publish(post, timeout=PATIENCE))
        except (grpc.RpcError, asyncio.CancelledError, asyncio.InvalidStateError) as error:
            await self._end(error)

    async def _timed(self, call: Any, takes: float = 0.0) -> Any:
        began = time.monotonic()
        reply = await call
        self.longest = max(self.longest, time.monotonic() - began - takes)
        return reply

    async def _end(self, error: BaseException) -> None:
        self.faults.append(f"{self.name}, call {self.sent}: {error!r}")
        if self.ended is None:
            self.ended = error.code() if isinstance(error, grpc.RpcError) else await self._talk.code()

    async def _read(self, what: Any) -> None:
        try:
            await what()
        except (grpc.RpcError, asyncio.CancelledError) as error:
            if self.ended is None and not self._leaving:
                code = getattr(error, "code", lambda: grpc.StatusCode.CANCELLED)()
                self.faults.append(f"{self.name}: a stream ended with {code}")
                self.ended = code

    async def _read_watch(self) -> None:
        while (message := await self._watch.read()) is not grpc.aio.EOF:
            self.watched += 1
            self._expect("Watch", message.number, self.watched)

    async def _read_listen(self) -> None:
        while (message := await self._listen.read()) is not grpc.aio.EOF:
            if not message.number:
                self.heard[message.publisher] = 1
                continue
            due = self.heard[message.publisher] + 1
            self._expect(f"Listen to {message.publisher}", message.number, due)
            self.heard[message.publisher] = message.number

    def _expect(self, what: str, number: int, expected: int) -> None:
        if number != expected:
            self.faults.append(f"{self.name}, {what}: {number} where {expected} was due")

    async def curse(self) -> None:
        """Have its actor's state be one that cannot be upgraded."""
        await self.stub.Curse(self._pb.Number())

    async def watch_ended(self) -> grpc.StatusCode:
        """With which status, once it has."""
        code: grpc.StatusCode = await self._watch.code()
        return code

    async def leave(self) -> None:
        self._leaving = True
        for call in (self._watch, self._talk, self._listen):
            call.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self.channel.close()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.sent} sent, {self.watched} watched, {self.faults}>"


class Callers:
    """Some of them, in a thread with a loop of its own, until the block ends. ``think``: the seconds that
    each rests between two calls."""

    def __init__(
        self, count: int, address: str, pb: ModuleType, rpc: ModuleType, think: float = THINK
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._make = lambda number: Caller(number, address, pb, rpc, think)
        self._count = count
        self._stopping = asyncio.Event()

    def __enter__(self) -> Callers:
        self.all: list[Caller] = self.ask(self._begin())
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        return self

    async def _begin(self) -> list[Caller]:
        callers = [self._make(number) for number in range(self._count)]
        await asyncio.gather(*(caller.begin() for caller in callers))
        return callers

    async def _run(self) -> None:
        await asyncio.gather(*(caller.run(self._stopping) for caller in self.all))

    def ask(self, question: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(2 * PATIENCE)

    def end(self) -> None:
        """No more calls; then whoever was not struck has heard all that was said."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._running.result(2 * PATIENCE)
        struck = {caller.name for caller in self.all if caller.ended is not None}
        self.ask(self._settle([caller for caller in self.all if caller.name not in struck]))

    async def _settle(self, callers: list[Caller]) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not all(self._has_all(each, callers) for each in callers):
            await asyncio.sleep(0.01)
        for each in callers:
            if not self._has_all(each, callers):
                each.faults.append(f"{each.name}: watched {each.watched} of {each.sent}, heard {each.heard}")

    def _has_all(self, caller: Caller, callers: list[Caller]) -> bool:
        published = {other.name: other.sent for other in callers if other.room == caller.room}
        heard = {name: caller.heard[name] for name in published}
        return caller.watched == caller.sent and heard == published

    @property
    def faults(self) -> list[str]:
        return [fault for caller in self.all for fault in caller.faults]

    @property
    def calls(self) -> int:
        return sum(caller.sent for caller in self.all)

    @property
    def longest(self) -> float:
        """The longest that any waited for a reply, in seconds."""
        return max(caller.longest for caller in self.all)

    def figures(self) -> str:
        longest = f"the longest that a client waited: {self.longest * 1000:.0f} ms"
        return f"{len(self.all)} clients, {3 * self.calls} calls and messages; {longest}"

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

        async def leave() -> None:
            await asyncio.gather(*(caller.leave() for caller in self.all))

        self.ask(leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()
