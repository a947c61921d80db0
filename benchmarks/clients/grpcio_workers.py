"""A grpcio client: groups of connections, each with one call of work under way at a time.

It says ``ready`` and JSON, for each group the processes that its connections are with, when all are. On a
line ``go`` from its standard input it works for the given seconds. Then it prints JSON, a list of calls as
[GROUP, BEGAN, TOOK], in seconds since ``go``.

A group is given as JSON: ``name``, ``connections`` and ``microseconds`` of CPU for each call; ``held``, the
microseconds for which a call then holds the hub; ``think``, the seconds between two calls; or ``period`` and
``phase`` for one that works only every other period of so many seconds, the first (0) or the second (1).
``pids`` are the hubs' processes that its connections shall be with, 0 for any: they are made again until the
kernel has put them there, since a connection that was moved is not as one that was accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from contextlib import AsyncExitStack
from time import perf_counter
from typing import NamedTuple

import grpc

from benchmarks.gen.bench_pb2 import Place, Task
from benchmarks.gen.bench_pb2_grpc import WorkerStub

#: A call that takes longer has been lost.
_TIMEOUT = 60.0
#: Connections that may come to the wrong hub in a row.
_ATTEMPTS = 200


class Group(NamedTuple):
    """Connections that do the same. Times are in seconds."""

    name: str
    connections: int
    task: Task
    period: float
    phase: int
    think: float
    pids: list[int]

    @classmethod
    def parse(cls, text: str) -> Group:
        fields = json.loads(text)
        task = Task(microseconds=fields["microseconds"], held_microseconds=fields.get("held", 0))
        times = fields.get("period", 0.0), fields.get("phase", 0), fields.get("think", 0.0)
        pids = fields.get("pids") or [0] * fields["connections"]
        return cls(fields["name"], fields["connections"], task, *times, pids)

    def rest(self, now: float) -> float:
        """For how long it does nothing more, at a time since the beginning."""
        if not self.period or int(now / self.period) % 2 == self.phase:
            return 0.0
        return self.period - now % self.period


class Workers:
    """The connections of all groups, and the calls that they have made."""

    def __init__(self, groups: list[Group]) -> None:
        self._groups = groups
        self._stubs: list[list[WorkerStub]] = []
        self.calls: list[tuple[str, float, float]] = []

    async def connect(self, address: str, stack: AsyncExitStack) -> dict[str, list[int]]:
        """Open all connections. Returns the process that each of them is with."""
        found: dict[str, list[int]] = {}
        for group in self._groups:
            self._stubs.append([])
            for wanted in group.pids:
                stub, pid = await self._connect(address, wanted, stack)
                self._stubs[-1].append(stub)
                found.setdefault(group.name, []).append(pid)
        return found

    async def _connect(self, address: str, wanted: int, stack: AsyncExitStack) -> tuple[WorkerStub, int]:
        for _ in range(_ATTEMPTS):
            # Channels with equal arguments would share one connection.
            channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            stub = WorkerStub(channel)
            place: Place = await stub.Work(Task(), timeout=_TIMEOUT)
            if wanted in (0, place.pid):
                await stack.enter_async_context(channel)
                return stub, place.pid
            await channel.close()
        raise ValueError(f"no connection comes to process {wanted}")

    async def work(self, seconds: float) -> None:
        began = perf_counter()
        await asyncio.gather(
            *(
                self._work(group, stub, began, seconds)
                for group, stubs in zip(self._groups, self._stubs, strict=True)
                for stub in stubs
            )
        )

    async def _work(self, group: Group, stub: WorkerStub, began: float, seconds: float) -> None:
        while (now := perf_counter() - began) < seconds:
            if rest := group.rest(now):
                await asyncio.sleep(rest)
                continue
            await stub.Work(group.task, timeout=_TIMEOUT)
            self.calls.append((group.name, now, perf_counter() - began - now))
            if group.think:
                await asyncio.sleep(group.think)


async def run(options: argparse.Namespace) -> None:
    workers = Workers([Group.parse(text) for text in options.groups])
    async with AsyncExitStack() as stack:
        print("ready", json.dumps(await workers.connect(options.address, stack)), flush=True)
        if (await asyncio.to_thread(sys.stdin.readline)).strip() != "go":
            raise ValueError("not told to go")
        gc.collect()
        gc.disable()  # its pauses are not the server's
        await workers.work(options.seconds)
        print(json.dumps(workers.calls))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("seconds", type=float)
    parser.add_argument("groups", nargs="+", help="JSON: name, connections, microseconds; see above")
    options = parser.parse_args()
    try:
        asyncio.run(run(options))
    except (grpc.RpcError, OSError, ValueError) as error:
        sys.exit(f"a call failed: {error}")


if __name__ == "__main__":
    main()
