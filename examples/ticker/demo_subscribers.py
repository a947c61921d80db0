"""The demo's subscribers, in a process of their own: many calls of ``Watch`` over a few connections.

    python -m examples.ticker.demo_subscribers ADDRESS COUNT

It prints ``watching`` when each of them has heard a price. A line on its standard input says that a hub is
about to be killed; the end of that is the end of all. Then it prints what they have heard, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import grpc

from examples.ticker.exchange import SYMBOLS
from examples.ticker.ticker_actorrpc import PricesStub
from examples.ticker.ticker_pb2 import Symbol

__all__ = ["Heard"]

CONNECTIONS = 8
#: A client whose hub is killed is to watch again soon.
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
#: Seconds until a call that has ended with its hub is made again.
PAUSE = 0.1


@dataclass
class Heard:
    """What all of them have heard."""

    subscribers: int
    delivered: int = 0
    #: Numbers that were left out: before a hub was killed, and since.
    lost_before: int = 0
    lost_since: int = 0
    #: Prices that came again, or late.
    doubled: int = 0
    #: Calls that have ended, and were made again.
    watched_again: int = 0
    #: The longest time in which nobody heard anything, in seconds, since a hub was killed.
    silence: float = 0.0
    #: How calls have ended that should not.
    errors: list[str] = field(default_factory=list)


class Subscribers:
    """``count`` calls, each for one symbol."""

    def __init__(self, address: str, count: int) -> None:
        self.heard = Heard(count)
        self._killed = False
        self._last_time = 0.0
        self._waiting = count
        self._all_watch = asyncio.Event()
        channels = [grpc.aio.insecure_channel(address, OPTIONS) for _ in range(CONNECTIONS)]
        stubs = [PricesStub(channel) for channel in channels]
        self._tasks = [
            asyncio.create_task(self._watch(stubs[each % len(stubs)], SYMBOLS[each % len(SYMBOLS)]))
            for each in range(count)
        ]

    async def until_all_watch(self) -> None:
        await self._all_watch.wait()

    def hub_is_killed(self) -> None:
        self._killed, self._last_time = True, time.monotonic()

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._killed:
            self._note_silence()

    async def _watch(self, stub: PricesStub, symbol: str) -> None:
        """Watch one symbol, again and again if need be, and look at the numbers."""
        last = 0
        while True:
            try:
                async for price in stub.Watch(Symbol(symbol=symbol)):  # type: ignore[attr-defined]
                    self._hear(last, price.number)
                    last = max(last, price.number)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or not self._killed:
                    self.heard.errors.append(f"{symbol}: {error.code().name}: {error.details()}")
            self.heard.watched_again += 1
            await asyncio.sleep(PAUSE)

    def _hear(self, last: int, number: int) -> None:
        self.heard.delivered += 1
        if not last:
            self._waiting -= 1
            if not self._waiting:
                self._all_watch.set()
        elif number <= last:
            self.heard.doubled += 1
        elif self._killed:
            self.heard.lost_since += number - last - 1
        else:
            self.heard.lost_before += number - last - 1
        if self._killed:
            self._note_silence()

    def _note_silence(self) -> None:
        now = time.monotonic()
        self.heard.silence = max(self.heard.silence, now - self._last_time)
        self._last_time = now


async def main(address: str, count: int) -> None:
    subscribers = Subscribers(address, count)
    await subscribers.until_all_watch()
    print("watching", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        subscribers.hub_is_killed()
        print("noted", flush=True)
    await subscribers.end()
    print(json.dumps(asdict(subscribers.heard)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
