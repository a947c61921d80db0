"""A grpcio client: many connections, a number of calls in flight on each, every reply checked.

With ``--deadlines`` each call has a timeout of its own, so that ``grpc-timeout`` differs from call to call
as it does in production. grpcio's encoder repeats one of the last few timeouts where that is at most 3 %
off, so they are spread over three orders of magnitude: 10 s to 10 h, evenly on a logarithmic scale.

Prints ``CALLS replies``, and exits with status 1 and a line on stderr at the first call that fails.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

from actorrpc.net.addresses import parse_address
from benchmarks.clients.channels import add_ca, tls_arguments
from benchmarks.gen.bench_pb2 import Count, Note
from benchmarks.gen.bench_pb2_grpc import CounterStub, EchoStub

SHORTEST, LONGEST = 10.0, 36_000.0

#: Makes one call with a timeout; raises grpc.RpcError if it fails, and ValueError for a wrong reply.
Caller = Callable[["float | None"], Awaitable[None]]


def echo(channel: grpc.aio.Channel, text: str) -> Caller:
    stub = EchoStub(channel)
    request = Note(number=7, text=text)

    async def say(timeout: float | None) -> None:
        reply = await stub.Say(request, timeout=timeout)
        if reply != request:
            raise ValueError(f"not what was said: {reply!r}")

    return say


def count(channel: grpc.aio.Channel, text: str) -> Caller:
    stub = CounterStub(channel)

    async def add(timeout: float | None) -> None:
        reply: Count = await stub.Add(Note(number=7, text=text), timeout=timeout)
        if reply.calls < 1:
            raise ValueError(f"not counted: {reply!r}")

    return add


SERVICES = {"Echo": echo, "Counter": count}


def timeouts(deadlines: bool) -> Iterator[float | None]:
    """A timeout for each call; None where calls have none."""
    spread = math.log(LONGEST / SHORTEST)
    while True:
        yield SHORTEST * math.exp(random.random() * spread) if deadlines else None


def connections_to(port: int) -> int:
    """Established TCP connections from this machine to a port of it, as the kernel counts them."""
    tables = (Path("/proc/net", name).read_text() for name in ("tcp", "tcp6"))
    rows = (line.split() for table in tables for line in table.splitlines())
    return sum(remote.endswith(f":{port:04X}") and state == "01" for _, _, remote, state, *_ in rows)


async def run(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        callers = []
        for _ in range(options.channels):
            # Channels with equal arguments would share one connection.
            alone = ("grpc.use_local_subchannel_pool", 1)
            if options.ca:
                credentials, name = tls_arguments(options.ca)
                made = grpc.aio.secure_channel(options.address, credentials, [alone, name])
            else:
                made = grpc.aio.insecure_channel(options.address, [alone])
            channel = await stack.enter_async_context(made)
            callers.append(SERVICES[options.service](channel, options.text))
        left = iter(range(options.calls))
        each = timeouts(options.deadlines)

        async def worker(call: Caller) -> None:
            for _ in left:
                await call(next(each))

        await asyncio.gather(*(worker(caller) for caller in callers for _ in range(options.in_flight)))
        found = connections_to(parse_address(options.address)[1])
        if found != options.channels:
            raise ValueError(f"{options.channels} channels have {found} connections")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("--service", choices=SERVICES, default="Echo")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--text", default="hello")
    parser.add_argument("--deadlines", action="store_true")
    add_ca(parser)
    options = parser.parse_args()
    try:
        asyncio.run(run(options))
    except (grpc.RpcError, ValueError) as error:
        sys.exit(f"a call failed: {error}")
    print(f"{options.calls} replies")


if __name__ == "__main__":
    main()
