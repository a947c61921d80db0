"""Calls of one xoscar actor by another of its pool's main process, which awaits each reply."""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic, process_time

import xoscar  # type: ignore[import-not-found, import-untyped, unused-ignore]


class Tally(xoscar.Actor):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        self._calls = 0

    async def add(self, number: int, text: str) -> int:
        self._calls += 1
        return self._calls


class Traveller(xoscar.Actor):  # type: ignore[misc, unused-ignore]
    async def go(self, tally: xoscar.ActorRef, calls: int) -> tuple[float, float]:
        cpu, began = process_time(), monotonic()
        for _ in range(calls):
            await tally.add(7, "hello")
        return process_time() - cpu, monotonic() - began


async def main(calls: int) -> None:
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        address = pool.external_address
        tally = await xoscar.create_actor(Tally, address=address, uid="tally")
        traveller = await xoscar.create_actor(Traveller, address=address, uid="traveller")
        await traveller.go(tally, calls // 10)
        cpu, seconds = await traveller.go(tally, calls)
        print(json.dumps({"cpu": cpu, "seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
