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
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from time import monotonic, sleep
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks.accounting import memory_bytes
from benchmarks.certificate import Files
from benchmarks.idle_connections import IdleConnection, grpcio_opening
from benchmarks.processes import BenchmarkError, allow_descriptors, end_on_sigterm, server

#: Names of servers, and their programs in benchmarks/servers.
SERVERS = {"grpcio": "grpcio_sync", "actorrpc": "actorrpc_one"}

#: Open files that are not connections: libraries, pipes, epoll, the listener.
_OTHER_DESCRIPTORS = 100

#: Memory is read when the server has come to rest: the same so many times in a row, at this distance.
_SAME = 3
_DISTANCE = 0.02
_REST_TIMEOUT = 5.0

#: A connection of TLS is idle in earnest after so many seconds: then actorrpc has let go of its ciphers.
_CIPHERS_REST = 6.0


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


def measure(name: str, warm_up: int, connections: int, batches: int, tls: Files | None = None) -> Usage:
    """Open connections to a new server and weigh them, over TLS if it has files for that.

    Raises BenchmarkError if one of them fails.
    """
    files = () if tls is None else (tls.cert, tls.key)
    with server(SERVERS[name], None, *files) as running, ExitStack() as opened:
        opening = grpcio_opening(running.address)
        address = running.tls_address or running.address
        connected: list[IdleConnection] = []
        weights = []
        size = connections // batches
        for wanted in range(warm_up, warm_up + size * batches + 1, size):
            while len(connected) < wanted:
                connected.append(IdleConnection(address, opening, tls=tls is not None))
                opened.callback(connected[-1].close)
            for connection in connected:
                connection.answer()
            if tls is not None:
                sleep(_CIPHERS_REST)
            weights.append(_memory_at_rest(running.pid))
        print(f"{name}: {len(connected)} connections opened", file=sys.stderr, flush=True)
        return Usage(name, len(opening), [(b - a) / size for a, b in pairwise(weights)])


def _memory_at_rest(pid: int) -> int:
    """The server's memory once it no longer changes: threads that made the last replies may still tidy up."""
    readings = [memory_bytes(pid)]
    deadline = monotonic() + _REST_TIMEOUT
    while len(readings) < _SAME or len(set(readings[-_SAME:])) > 1:
        if monotonic() > deadline:
            raise BenchmarkError("the server's memory keeps changing while all its connections are idle")
        sleep(_DISTANCE)
        readings.append(memory_bytes(pid))
    return readings[-1]


def table(usages: list[Usage]) -> str:
    """A line for each server."""
    rows = [("server", "bytes per connection", "mean", "client's opening")]
    for usage in usages:
        spread = f"{usage.median:7,.0f}  ({min(usage.batches):,.0f}–{max(usage.batches):,.0f})"
        rows.append((usage.server, spread, f"{mean(usage.batches):,.0f}", f"{usage.opening} bytes"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    batches = len(usages[0].batches)
    title = f"Memory per idle connection: median (lowest–highest) and mean of {batches} batches"
    return "\n".join([f"{title}.", *lines])


def document(usages: list[Usage], ratio: float) -> dict[str, Any]:
    """For JSON. Sizes are in bytes."""
    results = [
        {
            "server": usage.server,
            "opening": usage.opening,
            "bytes_per_connection": {
                "median": usage.median,
                "mean": mean(usage.batches),
                "batches": usage.batches,
            },
        }
        for usage in usages
    ]
    return {"ratio": ratio, "met": ratio < 1, "results": results}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Memory per idle connection: actorrpc, with an actor on each, beside grpcio.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--connections", type=int, default=2000, metavar="N", help="connections that are weighed")
    add("--batches", type=int, default=10, metavar="N", help="batches in which they come")
    add("--warm-up", type=int, default=300, metavar="N", help="connections before them, not weighed")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if actorrpc needs more")
    options = parser.parse_args()
    if options.warm_up < 1 or options.batches < 1 or options.connections < options.batches:
        parser.error("it takes a connection to warm up, a batch, and a connection for each batch")
    return options


def main() -> int:
    options = _options()
    end_on_sigterm()
    try:
        allow_descriptors(options.warm_up + options.connections + _OTHER_DESCRIPTORS)
        usages = [measure(name, options.warm_up, options.connections, options.batches) for name in SERVERS]
    except BenchmarkError as error:
        print(f"idle: {error}", file=sys.stderr)
        return 2
    rival, ours = usages
    ratio = ours.median / rival.median
    if options.json:
        print(json.dumps(document(usages, ratio), indent=2))
    else:
        outcome = "met" if ratio < 1 else "MISSED"
        print(table(usages), f"Goal, less than grpcio: {outcome}, at {ratio:.3f} of it.", sep="\n")
    return 1 if ratio >= 1 and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
