"""Memory per idle connection: actorrpc, with an actor on each, beside grpcio.

    python -m benchmarks.idle

Each connection repeats what a real grpcio client sent, makes one call, which on actorrpc creates the actor,
and keeps quiet. They come in batches; the growth of the server's own memory from batch to batch, divided by
the connections of a batch, is the figure. README.md says more.

Exit status: 0 if actorrpc needs less than grpcio, 1 if not, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from time import monotonic, sleep
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks.accounting import memory_bytes
from benchmarks.processes import BenchmarkError, Cores, allow_descriptors, end_on_sigterm, server
from benchmarks.replay import IdleConnection, record_opening

#: Names of servers, and their programs in benchmarks/servers.
SERVERS = {"grpcio": "grpcio_sync", "actorrpc": "actorrpc_one"}

#: Open files that are not connections: libraries, pipes, epoll, the listener.
_OTHER_DESCRIPTORS = 100

#: Memory is read when the server has come to rest: the same so many times in a row, at this distance.
_SAME = 3
_DISTANCE = 0.02
_REST_TIMEOUT = 5.0


@dataclass
class Usage:
    """What a server needed."""

    server: str
    #: Bytes that a client sends until its first call is on its way.
    opening: int
    #: Bytes for each connection, batch by batch.
    batches: list[float]

    @property
    def median(self) -> float:
        return median(self.batches)


def measure(name: str, warm_up: int, connections: int, batches: int, cores: Cores) -> Usage:
    """Open connections to a new server and weigh them. Raises BenchmarkError if one of them fails."""
    with server(SERVERS[name], cores.server) as running, ExitStack() as opened:
        opening = record_opening(running.address, cores.client)
        usage = Usage(name, len(opening), [])
        before = 0
        for size in (warm_up, *[connections // batches] * batches):
            batch = [IdleConnection(running.address, opening) for _ in range(size)]
            for connection in batch:
                opened.callback(connection.close)
                connection.answer()
            after = _memory_at_rest(running.pid)
            if before:
                usage.batches.append((after - before) / size)
            before = after
        print(f"{name}: {warm_up} + {connections} connections weighed", file=sys.stderr, flush=True)
        return usage
