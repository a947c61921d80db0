"""Clients with long streams: iterables of 100,000 replies, some read late or in bursts, and heaps of messages
whose replies are read only when all have been sent.

Run as a process of its own by ``tests.chaos.storm``.
"""

from __future__ import annotations

import asyncio
import time
from itertools import cycle
from typing import Any

import grpc
import grpc.aio

from tests.apps.storm_pb2 import Wish
from tests.chaos.client import Client
from tests.chaos.crew import Deaths
from tests.chaos.lives import arguments_of_a_crew, live

__all__ = ["MAX_MAILBOX"]

#: Replies of an iterable that is read to its end.
LENGTH = 100_000
#: Replies of one that raises, or is cancelled, or whose deadline comes first: up to so many.
SHORT = 3_000
#: Replies between two looks at the clock, and how many seconds it then reads nothing, so that a stream leaves
#: the cores to others; and how many replies it takes before it does so.
STRIDE, BREAK = 100, 0.02
GREED = 20_000
#: Messages that a client sends before it reads the first reply, more than a hub takes: ``MAX_MAILBOX`` is the
#: server's, for this. And the replies' bytes, more than may wait for a client.
MAX_MAILBOX = 1_000
HEAP, HEAPED = 1_500, 300
#: The windows of its channels do not grow: else grpcio takes all of a heap while nobody reads it.
WINDOWS = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)]
#: Calls that have to be answered meanwhile.
MEANWHILE = 5
#: Seconds for which a late reader reads nothing.
LATE = 1.0
#: Between two streams, and two heaps, a client rests so many times longer than others do.
LONGER = 5.0


class Streamer(Client):
    """It counts, and beside that has a long stream, and now and then a heap."""

    conversations = ("count", "pour", "heap")

    # ---- iterables

    async def _pour(self) -> None:
        kinds = cycle((self._whole, self._raising, self._whole, self._cancelled, self._whole, self._overdue))
        methods = cycle(("Pour", "Drizzle"))
        for _ in range(self._chance.randrange(6)):
            next(kinds)
            next(methods)
        while not self._stopping.is_set():
            await next(kinds)(next(methods))
            await self._rest(LONGER)

    def _wish(self, method: str, replies: int, raise_after: int = 0) -> Wish:
        """Those beside the actor's turns block at times, the others seldom: all else would wait."""
        every = self._chance.choice((0, 50, 500) if method == "Drizzle" else (0, 0, 2_000))
        size = self._chance.choice((0, 20, 300))
        return Wish(replies=replies, size=size, breathe_every=every, raise_after=raise_after)

    async def _whole(self, method: str) -> None:
        call = self._call(method, self._wish(method, LENGTH))
        pace = self._chance.choice((self._promptly, self._late, self._in_bursts))
        for number in range(1, LENGTH + 1):
            self._check_message(method, await call.read(), number)
            self.got["poured"] += 1
            if not number % STRIDE:
                if self._stopping.is_set():
                    self._cancel(call)
                    return
                await pace(number)
                self._since["pour"] = time.monotonic()
        assert await call.read() is grpc.aio.EOF
        await self._expect_status(method, call, grpc.StatusCode.OK)
        self._since.pop("pour", None)
        self.got["poured to the end"] += 1

    async def _promptly(self, number: int) -> None:
        """At first it takes all that the hub can make, then as the others do: they have to live, too."""
        if number > GREED:
            await asyncio.sleep(BREAK)

    async def _late(self, number: int) -> None:
        """Twice it reads nothing for a while."""
        self._since.pop("pour", None)
        await asyncio.sleep(LATE if number in (LENGTH // 4, LENGTH // 2) else BREAK)

    async def _in_bursts(self, number: int) -> None:
        if not number % (20 * STRIDE):
            self._since.pop("pour", None)
            await asyncio.sleep(20 * BREAK)

    def _cancel(self, call: Any) -> None:
        call.cancel()
        self._since.pop("pour", None)
        self.sent["cancelled"] += 1

    async def _raising(self, method: str) -> None:
        """It gets all that comes before the error, and then the error."""
        length = self._chance.randint(1, SHORT)
        call = self._call(method, self._wish(method, LENGTH, length))
        for number in range(1, length + 1):
            self._check_message(method, await self._within("pour", call.read()), number)
        try:
            more = await self._within("pour", call.read())
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.ABORTED:
                raise
            self.got["iterables that raised"] += 1
        else:
            self._fault(f"{method}: {more} after the last reply before an error")

    async def _cancelled(self, method: str) -> None:
        length = self._chance.randint(1, SHORT)
        call = self._call(method, self._wish(method, LENGTH))
        for number in range(1, length + 1):
            self._check_message(method, await self._within("pour", call.read()), number)
        self._cancel(call)

    async def _overdue(self, method: str) -> None:
        """Its deadline closes it."""
        call = self._call(
            method, self._wish(method, LENGTH * LENGTH), timeout=self._chance.uniform(0.01, 0.5)
        )
        number = 0
        try:
            while True:
                number += 1
                self._check_message(method, await self._within("pour", call.read()), number)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            self.got["iterables past their deadlines"] += 1

    async def _within(self, what: str, step: Any) -> Any:
        """A step that is short and one of many."""
        self._since[what] = time.monotonic()
        try:
            return await step
        finally:
            self._since.pop(what, None)

    # ---- heaps

    async def _heap(self) -> None:
        while not self._stopping.is_set():
            await self._rest(LONGER)
            call = self._call("Heap")
            for _ in range(HEAP):
                await self._within("heap", call.write(Wish(replies=1, size=HEAPED)))
            await call.done_writing()
            for _ in range(MEANWHILE):
                await self._count_once("heap")
            await asyncio.sleep(self._chance.random() * LATE)
            if self._chance.randrange(4):
                read = await self._read_heap(call)
                self._check("Heap in all", read, HEAP)
                self.got["heaps"] += 1
            else:  # it goes without having read any
                call.cancel()
                self.sent["cancelled"] += 1

    async def _read_heap(self, call: Any) -> int:
        number = 0
        while (message := await self._within("heap", call.read())) is not grpc.aio.EOF:
            number += 1
            self._check_message("Heap", message, number)
            self.got["heaped"] += 1
        await self._expect_status("Heap", call, grpc.StatusCode.OK)
        return number

    async def _count_once(self, what: str) -> None:
        async with self._counting:
            await super()._count_once(what)

    async def begin(self) -> None:
        self._counting = asyncio.Lock()
        await super().begin()


async def main() -> None:
    arguments = arguments_of_a_crew().parse_args()

    def make(number: int, life: int, channel: Any, deaths: Deaths) -> Streamer:
        return Streamer(channel, f"streamer {number}, life {life}", arguments.think, deaths)

    await live(arguments, range(arguments.count), make, WINDOWS)


if __name__ == "__main__":
    asyncio.run(main())
