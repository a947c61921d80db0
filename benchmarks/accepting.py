"""How connections spread over hubs, and what accepting one costs: SO_REUSEPORT beside an acceptor.

    python -m benchmarks.accepting

Each connection repeats what a real grpcio client sent and makes one call; then it keeps quiet. README.md says
more.

Exit status: 0, or 2 if something could not be measured. There is no goal: the table is for choosing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from actorrpc.broker.admin import ask
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.errors import ConfigError
from actorrpc.percentile import percentile
from benchmarks.accounting import cpu_seconds
from benchmarks.broker_client import BrokerClient
from benchmarks.idle_connections import IdleConnection, grpcio_opening
from benchmarks.processes import BenchmarkError, allow_descriptors, end_on_sigterm, server

MODES = ("reuseport", "acceptor")

#: Open files that are not connections: libraries, pipes, epoll, the listener.
_OTHER_DESCRIPTORS = 100
#: Connections before those that count, so that all that is made once has been made.
_WARM_UP = 32


@dataclass
class Line:
    """One way to accept, with so many hubs and connections. A value for each round."""

    accept: str
    hubs: int
    connections: int
    #: The fullest hub's connections over the mean: 1 is even.
    skew: list[float] = field(default_factory=list)
    #: CPU of all hubs for each connection with its call, in microseconds.
    cpu: list[float] = field(default_factory=list)
    #: From connect() to the reply, in milliseconds, one connection after the other.
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Start a server, open the connections, and look. Raises BenchmarkError if a call fails."""
        with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
            directory = RuntimeDir(os.path.join(folder, "run"))
            options = [f"--hubs={self.hubs}", f"--accept={self.accept}"]
            try:
                with (
                    server("actorrpc_hubs", None, directory.path, *options) as running,
                    BrokerClient(directory.socket_path) as broker,
                ):
                    self._measure(running.address, broker)
            finally:
                with suppress(ConfigError, ask.NoAnswer):  # there is none, which is the rule
                    ask.stop(directory)

    def _measure(self, address: str, broker: BrokerClient) -> None:
        opening = grpcio_opening(address)
        with ExitStack() as opened:
            for _ in range(_WARM_UP):
                opened.callback(IdleConnection(address, opening).close)
            pids = [hub["pid"] for hub in broker.status()["hubs"]]
            earlier = {row["id"] for row in broker.connections()}
            before = sum(map(cpu_seconds, pids))
            trips = []
            for _ in range(self.connections):
                began = perf_counter()
                opened.callback(IdleConnection(address, opening).close)
                trips.append((perf_counter() - began) * 1000)
            used = sum(map(cpu_seconds, pids)) - before
            on_hub = Counter(row["hub"] for row in broker.connections() if row["id"] not in earlier)
        if sum(on_hub.values()) != self.connections:
            raise BenchmarkError(f"{sum(on_hub.values())} of {self.connections} connections are on hubs")
        self.skew.append(max(on_hub.values()) * self.hubs / self.connections)
        self.cpu.append(used / self.connections * 1e6)
        self.p50.append(percentile(trips, 50))
        self.p99.append(percentile(trips, 99))


def table(lines: Sequence[Line]) -> str:
    """A line for each way, number of hubs and number of connections."""
    rows = [("connections", "hubs", "accept", "fullest/mean", "CPU µs each", "p50 ms", "p99 ms")]
    for line in lines:
        cpu = f"{median(line.cpu):.0f}" if line.connections >= 500 else "-"  # else a tick is too much of it
        numbers = f"{median(line.p50):.2f}", f"{median(line.p99):.2f}"
        skew = f"{median(line.skew):.2f}  ({min(line.skew):.2f}–{max(line.skew):.2f})"
        rows.append((str(line.connections), str(line.hubs), line.accept, skew, cpu, *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    title = f"Median (lowest–highest) of {len(lines[0].skew)} rounds."
    return "\n".join([title, *("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)])


def document(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """For JSON. CPU is in microseconds, times are in milliseconds; each list has a value for each round."""
    return [vars(line) for line in lines]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="How connections spread over hubs, and what accepting one costs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--connections", type=int, nargs="+", default=[64, 1000], metavar="N", help="how many are opened")
    add("--hubs", type=int, nargs="+", default=[2, 4], metavar="N", help="over how many hubs")
    add("--rounds", type=int, default=5, metavar="N", help="how often, each with new servers")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="as for the other programs; there is no verdict here")
    options = parser.parse_args()
    if min(options.rounds, *options.connections, *options.hubs) < 1:
        parser.error("it takes a round, a connection and a hub")
    return options


def main() -> int:
    options = _options()
    end_on_sigterm()
    lines = [
        Line(accept, hubs, connections)
        for connections in options.connections
        for hubs in options.hubs
        for accept in MODES
    ]
    try:
        allow_descriptors(max(options.connections) + _WARM_UP + _OTHER_DESCRIPTORS)
        for number in range(options.rounds):
            for line in lines[number % len(lines) :] + lines[: number % len(lines)]:
                line.measure()
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    except BenchmarkError as error:
        print(f"accepting: {error}", file=sys.stderr)
        return 2
    print(json.dumps(document(lines), indent=2) if options.json else table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
