"""A crew of grpcio clients: it lets them begin, go and end, and puts another where one has lost its hub."""

from __future__ import annotations

import argparse
import asyncio
import gc
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.client import STALL, Client
from tests.chaos.crew import Deaths, Orders, tell
from tests.chaos.figures import summary
from tests.support.endpoints import Endpoint, Identity

__all__ = ["Make", "arguments_of_a_crew", "live"]

OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
]

Options = Sequence[tuple[str, int]]
#: Makes the client of a number, in its so many-th life, on a channel.
Make = Callable[[int, int, Any, Deaths], Client]


def arguments_of_a_crew() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--think", type=float, required=True)
    parser.add_argument("--tls-address", default="")
    parser.add_argument("--identity", type=Path, help="the folder of the certificates")
    parser.add_argument("--tls", type=float, default=0.0, help="the share of clients that speak it")
    return parser


async def live(arguments: argparse.Namespace, numbers: range, make: Make, options: Options = ()) -> None:
    """All that the crew does, from "ready" to its report. ``options`` are more for its channels."""
    crew = _Crew(arguments, make, options)
    loop = asyncio.get_running_loop()
    Orders(
        lambda: loop.call_soon_threadsafe(crew.going.set),
        lambda: (loop.call_soon_threadsafe(crew.going.set), loop.call_soon_threadsafe(crew.stopping.set)),
        crew.deaths,
    )
    first = await asyncio.gather(*(crew.begin(number, 0) for number in numbers))
    tell("ready")
    await crew.going.wait()
    watchdog = asyncio.create_task(crew.watch_for_stalls())
    await asyncio.gather(*(crew.live(number, client) for number, client in zip(numbers, first, strict=True)))
    watchdog.cancel()
    crew.report()
    await crew.close()


class _Crew:
    def __init__(self, arguments: argparse.Namespace, make: Make, options: Options) -> None:
        self.going, self.stopping = asyncio.Event(), asyncio.Event()
        self.deaths = Deaths()
        self._plaintext = Endpoint(arguments.address)
        self._share = arguments.tls
        if self._share:
            self._tls = Endpoint(arguments.tls_address, Identity(arguments.identity, made=True))
        self._over_tls = 0
        self._make = make
        self._options = [*OPTIONS, *options]
        self._clients: list[Client] = []
        self._channels: dict[Client, Any] = {}

    async def begin(self, number: int, life: int) -> Client:
        speaks_tls = Random(number).random() < self._share
        self._over_tls += speaks_tls
        channel = (self._tls if speaks_tls else self._plaintext).aio_channel(self._options)
        client = self._make(number, life, channel, self.deaths)
        self._clients.append(client)
        self._channels[client] = channel
        await client.begin()
        return client

    async def live(self, number: int, client: Client) -> None:
        """One client after the other, until they are to stop."""
        life = 0
        while True:
            client.go()
            await self._wait_for_an_end(client)
            if not client.lost.is_set():
                await self._end(client)
                return
            tell({"lost": client.peer, "at": time.monotonic(), "why": client.why})
            await client.leave()
            await self._channels.pop(client).close()
            gc.collect()
            life += 1
            try:
                client = await asyncio.wait_for(self.begin(number, life), 3 * STALL)
            except Exception as error:
                tell({"fault": f"client {number} does not come back: {error!r}"})
                return
            tell({"back": client.peer})

    async def _wait_for_an_end(self, client: Client) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (client.lost, self.stopping)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()

    async def _end(self, client: Client) -> None:
        try:
            await asyncio.wait_for(client.end(), 3 * STALL)
        except Exception as error:
            tell({"fault": f"{client.name} did not come to its end: {error!r}: {client}"})

    async def watch_for_stalls(self) -> None:
        while True:
            await asyncio.sleep(1)
            for client in self._clients:
                for what in client.stalled(time.monotonic()):
                    tell({"fault": f"{client.name}: {what} has stalled for {STALL} s: {client}"})

    def report(self) -> None:
        numbers: Counter[str] = Counter()
        if self._over_tls:
            numbers["clients over TLS"] = self._over_tls
        pauses = array("f")
        for client in self._clients:
            numbers.update(client.sent)
            numbers.update(client.got)
            pauses.extend(client.pauses)
        ended = [client for client in self._clients if client.ledger]
        tell(
            {
                "numbers": numbers,
                "pauses": summary(pauses),
                "thaws": {client.ledger.connection: client.ledger.thaws for client in ended},
                "endings": {client.ledger.connection: client.endings for client in ended},
                "born": {client.ledger.connection: client.born for client in ended},
                "pids": sorted(set().union(*(client.pids for client in self._clients))),
                "oddities": [odd for client in self._clients for odd in getattr(client, "oddities", ())],
                "failures": [each for client in self._clients for each in getattr(client, "failures", ())],
            }
        )

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
