"""What a stranger can have a hub do that serves no call: bytes sent, CPU taken, and the price.

    python -m benchmarks.prices

Each kind of ``tests/support/priced_kinds.py`` is sent on one connection, by the thousand, to a server whose
flood budget has no end. A unit of the price stands for a microsecond of a hub, or more: the last column is
price by CPU. Prints the table of docs/evidence/prices.md, whose prices a test holds.

Exit status: 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks.accounting import TICK, cpu_seconds
from benchmarks.processes import BenchmarkError, Cores, Server, end_on_sigterm, server
from tests.support import raw
from tests.support.priced_kinds import KINDS, Kind, documented_prices, ids_of
from tests.support.raw_client import RawClient

_SENTINEL = b"\0benchm\0"
_BATCH = 200

PRICES = documented_prices()


@dataclass
class Cost:
    """One kind: bytes and microseconds of each, and its price in units."""

    kind: str
    bytes: int
    cpu: float
    price: int


class _Stranger:
    """One connection, which sends a batch, and reads until it has been dealt with: the PING behind it has
    been answered, and so have its calls. (A hub answers the PING while they wait for their turns.)"""

    def __init__(self, address: str, kind: Kind) -> None:
        self._client = RawClient(address, raw.OPEN + raw.window_update(0, 1 << 24) + kind.begin)
        self._kind = kind
        self._count = 0
        #: Calls whose end the server has not told. Of those that the client resets it tells none.
        self._open: set[int] = set()
        self._hears = not any(type_ == raw.RST_STREAM for type_, _, _, _ in raw.frames(kind.write(1)))

    def send(self, count: int) -> int:
        """Send so many, and wait until they have been dealt with. Returns their bytes."""
        size = 0
        for begin in range(self._count, self._count + count, _BATCH):
            numbers = range(begin, min(begin + _BATCH, self._count + count))
            data = b"".join(self._kind.write(ids_of(self._kind, number)) for number in numbers)
            size += len(data)
            if self._hears:
                self._open.update(range(ids_of(self._kind, begin), ids_of(self._kind, numbers.stop), 2))
            self._client.send(data + raw.frame(raw.PING, 0, 0, _SENTINEL))
            self._read()
        self._count += count
        return size

    def _read(self) -> None:
        answered = False
        while self._open or not answered:
            self._client.receive()
            if self._client.ended:
                raise BenchmarkError("the server has closed the connection")
            for type_, flags, id, payload in self._client.frames:
                if type_ == raw.RST_STREAM or (type_ == raw.HEADERS and flags & raw.END_STREAM):
                    self._open.discard(id)
                answered = answered or payload == _SENTINEL
            self._client.frames.clear()

    def close(self) -> None:
        self._client.close()


def measure(name: str, place: Server, least_cpu: float, rounds: int) -> Cost:
    """Send one kind for at least so much of the server's CPU, and so often."""
    stranger = _Stranger(place.address, KINDS[name])
    try:
        count = _BATCH
        stranger.send(_BATCH)  # connections, code and memos are warm
        costs: list[float] = []
        while len(costs) < rounds:
            before = cpu_seconds(place.pid)
            size = stranger.send(count)
            took = cpu_seconds(place.pid) - before
            if took < max(least_cpu, TICK):
                count *= 2
                continue
            costs.append(took / count * 1e6)
        return Cost(name, size // count, median(costs), PRICES.get(name, 0))
    finally:
        stranger.close()


def table(costs: Sequence[Cost]) -> str:
    """The rows of docs/evidence/prices.md, with the price by CPU behind them."""
    rows = [f"| {c.kind} | {c.bytes:,} | {c.cpu:,.1f} | {c.price:,} |  {c.price / c.cpu:.1f}" for c in costs]
    return "\n".join(["| what | bytes | CPU, µs | price |", "|---|---|---|---|", *rows])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--least-cpu", type=float, default=0.2, help="seconds for each kind and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=KINDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    end_on_sigterm()
    core = Cores.choose().server
    costs = []
    try:
        with server("strangers", core) as anybody, server("strangers", core, "guarded") as guarded:
            for name in options.only or KINDS:
                place = guarded if KINDS[name].guarded else anybody
                costs.append(measure(name, place, options.least_cpu, options.rounds))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps([asdict(cost) for cost in costs]) if options.json else table(costs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
