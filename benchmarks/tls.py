"""What TLS costs: beside grpcio over TLS, and beside actorrpc's own plaintext.

    python -m benchmarks.tls

Servers have a plaintext address and one for TLS, each with the same certificate. Measured are their CPU for
unary calls, of a few bytes and of 1 MB, and for handshakes; how many replies share a record; the pause of a
connection that moves between two hubs; and the memory of an idle one. README.md says more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from actorrpc.percentile import percentile
from benchmarks import figures, idle
from benchmarks.accounting import cpu_seconds
from benchmarks.certificate import Files, certificate
from benchmarks.figures import Figure
from benchmarks.loads import LOADS, Load, check_tools, verify
from benchmarks.ping_pong import ping_pong
from benchmarks.processes import (
    BenchmarkError,
    Cores,
    Server,
    allow_descriptors,
    end_on_sigterm,
    python,
    run,
    server,
)
from benchmarks.records import replies_in_a_record
from benchmarks.rounds import progress, rotated
from benchmarks.two_hubs import Placement, two_hubs

#: Names of servers, and their programs in benchmarks/servers.
SERVERS = {"grpcio": "grpcio_sync", "grpcio.aio": "grpcio_aio", "actorrpc": "actorrpc_one"}
#: It takes a program that was built.
CPP = "grpc_cpp"
_RIVALS = ("grpcio", "grpcio.aio")

_LARGE = Load("1 MB", 8, 1, text_bytes=1_000_000)
#: The loads, with the goal: what actorrpc may cost of the better grpcio.
_LOADS = ((LOADS[0], 1 / 4), (LOADS[1], 1 / 12), (_LARGE, 1.3))
#: How many of ``--calls`` a large message counts for.
_CALLS_PER_LARGE = 50

#: More µs for a call over TLS than for one without.
_OVERHEAD = 15.0
#: Of a handshake, beside the better grpcio.
_HANDSHAKE = 1.0
_REPLIES_IN_A_RECORD = 2.0
#: The pause of a move, beside one in plaintext; of a state of so many bytes.
_PAUSE = 1.2
_STATE_BYTES = 16_000
#: More bytes for an idle connection than for one without TLS.
_MEMORY = 4096.0

#: One warm-up call for so many that are measured.
_CALLS_PER_WARM_UP = 5

PARTS = ("calls", "records", "pauses", "memory")

#: Open files that are not connections.
_OTHER_DESCRIPTORS = 200


class Run:
    """The figures of all rounds."""

    def __init__(self, options: argparse.Namespace, files: Files) -> None:
        self._options = options
        self._files = files
        self.cores = Cores.choose()
        self.placement = Placement.choose()
        self._servers = dict(SERVERS)
        if options.cpp:
            self._servers["gRPC C++"] = CPP
        #: By what is measured and server; beside each stands what it costs in plaintext.
        self._costs: dict[tuple[str, str], Figure] = {}
        self._ratios: dict[str, Figure] = {}
        for load, goal in _LOADS:
            self._add_costs(load.name, f"{load.title}{_size(load)}", "call", goal)
        self._add_costs("handshake", "a connection, greeted", "handshake", _HANDSHAKE)
        self._overhead = {
            load.name: Figure(f"overhead_{load.name}", f"TLS, {load.title}: a call", "µs", _OVERHEAD)
            for load, _ in _LOADS[:2]
        }
        self._records = Figure(
            "replies_in_a_record", "replies in a record, 8 × 32", "", _REPLIES_IN_A_RECORD, at_least=True
        )
        self._pauses = {
            percent: Figure(f"pause_p{percent}", f"pause of a move, 16 kB: p{percent}", "ms")
            for percent in (50, 99)
        }
        self._pause_ratio = Figure("pause_ratio", "the p50 beside a plaintext one", "×", _PAUSE)
        self._memory = Figure("memory", "an idle connection", "B")
        self._more_memory = Figure("more_memory", "more than without TLS", "B", _MEMORY)

    def _add_costs(self, key: str, title: str, what: str, goal: float) -> None:
        for name in self._servers:
            figure = Figure(f"{key}_{name}", f"CPU for {title}: {name}", "µs")
            self._costs[key, name] = figure
        self._ratios[key] = Figure(f"{key}_ratio", f"{title}: of the better grpcio", "×", goal)

    @property
    def figures(self) -> list[Figure]:
        """Those that were measured."""
        found: list[Figure] = []
        for key, ratio in self._ratios.items():
            found += [figure for (each, _), figure in self._costs.items() if each == key]
            found.append(ratio)
            if key in self._overhead:
                found.append(self._overhead[key])
        found += [self._records, *self._pauses.values(), self._pause_ratio, self._memory, self._more_memory]
        return [figure for figure in found if figure.rounds]

    def round(self, number: int, parts: Sequence[str]) -> None:
        """Measure everything once, in an order that rotates from round to round."""
        measures: dict[str, Callable[[int], None]] = {
            "calls": self._measure_calls,
            "records": self._measure_records,
            "pauses": self._measure_pauses,
            "memory": self._measure_memory,
        }
        for part in rotated(parts, number):
            measures[part](number)

    def _measure_calls(self, number: int) -> None:
        for name in rotated(list(self._servers), number):
            program = [self._options.cpp] if name not in SERVERS else []
            arguments = [*program, self._files.cert, self._files.key]
            with server(self._servers[name], self.cores.server, *arguments) as running:
                verify(running.address, self.cores.client)
                verify(running.tls_address, self.cores.client, self._files.ca)
                for load, _ in rotated(_LOADS, number):
                    calls = self._options.calls // (_CALLS_PER_LARGE if load is _LARGE else 1)
                    self._measure_both(load.name, name, running, self._load(load), calls)
                handshakes = self._options.handshakes
                self._measure_both("handshake", name, running, self._handshakes, handshakes)
        for key, figure in self._ratios.items():
            better = min(self._costs[key, rival].rounds[-1] for rival in _RIVALS)
            self._note(figure, self._costs[key, "actorrpc"].rounds[-1] / better)
        for key, figure in self._overhead.items():
            ours = self._costs[key, "actorrpc"]
            self._note(figure, ours.rounds[-1] - ours.beside[-1])

    def _load(self, load: Load) -> Callable[[Server, bool, int], None]:
        def make(running: Server, tls: bool, count: int) -> None:
            address = running.tls_address if tls else running.address
            load.run(address, max(load.at_once, count), self.cores.client, tls=tls)

        return make

    def _handshakes(self, running: Server, tls: bool, count: int) -> None:
        address = running.tls_address if tls else running.address
        command = python("benchmarks.clients.handshakes", address, f"--count={count}")
        run([*command, "--tls"] if tls else command, self.cores.client, timeout=120.0)

    def _measure_both(
        self, key: str, name: str, running: Server, make: Callable[[Server, bool, int], None], count: int
    ) -> None:
        """CPU for one of ``count``, over TLS and then in plaintext."""
        figure = self._costs[key, name]
        costs = []
        for tls in (True, False):
            make(running, tls, count // _CALLS_PER_WARM_UP)
            made, used, before = 0, 0.0, cpu_seconds(running.pid)
            while not made or used < self._options.least_cpu:
                make(running, tls, count)
                made += count
                used = cpu_seconds(running.pid) - before
            costs.append(used / made * 1e6)
        figure.beside.append(costs[1])
        self._note(figure, costs[0])

    def _measure_records(self, number: int) -> None:
        with server(SERVERS["actorrpc"], None, self._files.cert, self._files.key) as running:
            self._note(self._records, replies_in_a_record(running.tls_address, LOADS[1], self._options.calls))

    def _measure_pauses(self, number: int) -> None:
        options = self._options
        with two_hubs(self.placement, tls=self._files) as hubs:
            pauses = {}
            for ca in rotated(["", self._files.ca], number):
                pauses[bool(ca)] = ping_pong(
                    hubs, _STATE_BYTES, options.moves, options.between, self.placement.client, ca
                ).extra
        for percent, figure in self._pauses.items():
            figure.beside.append(percentile(pauses[False], percent) * 1e3)
            self._note(figure, percentile(pauses[True], percent) * 1e3)
        self._note(self._pause_ratio, median(pauses[True]) / median(pauses[False]))

    def _measure_memory(self, number: int) -> None:
        options = self._options
        size = options.connections // 2, options.connections, options.batches
        plaintext = idle.measure("actorrpc", *size).median
        secure = idle.measure("actorrpc", *size, self._files).median
        self._memory.beside.append(plaintext)
        self._note(self._memory, secure)
        self._note(self._more_memory, secure - plaintext)

    def _note(self, figure: Figure, value: float) -> None:
        figure.rounds.append(value)
        beside = f", {figure.beside[-1]:.4g} in plaintext" if figure.beside else ""
        progress(f"round {len(figure.rounds)}: {figure.title}: {value:.4g} {figure.unit}{beside}")


def _size(load: Load) -> str:
    return ", 1 MB" if load is _LARGE else ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What TLS costs: beside grpcio over TLS, and beside plaintext.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="rounds, each with everything")
    add("--only", action="append", choices=PARTS, help="only this; repeat it for more")
    add("--calls", type=int, default=20_000, metavar="N", help="calls of one batch")
    add("--handshakes", type=int, default=500, metavar="N", help="handshakes of one batch")
    add("--least-cpu", type=float, default=1.0, metavar="S",
        help="repeat a batch until the server has used so many seconds of CPU")  # fmt: skip
    add("--moves", type=int, default=200, metavar="N", help="moves in a round, with TLS and without")
    add("--between", type=int, default=20, metavar="N", help="round trips from a move to the next")
    add("--connections", type=int, default=1000, metavar="N", help="idle connections that are weighed")
    add("--batches", type=int, default=5, metavar="N", help="batches in which they come")
    add("--cpp", metavar="PROGRAM", help="a server of gRPC C++ to have beside, built of peers/grpc_cpp.cc")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    least = max(load.at_once for load, _ in _LOADS)
    if options.calls < least:
        parser.error(f"it takes {least} calls at least: so many are in flight at once")
    if min(options.rounds, options.handshakes, options.moves, options.between, options.batches) < 1:
        parser.error("it takes one of each at least")
    if options.connections < max(options.batches, 2):
        parser.error("it takes a connection for each batch")
    return options


def _document(found: Run) -> dict[str, Any]:
    return {
        "cores": {"server": found.cores.server, "client": found.cores.client},
        "met": figures.met(found.figures),
        "results": figures.document(found.figures, beside="plaintext"),
    }


def _table(found: Run, rounds: int) -> str:
    title = f"TLS: {rounds} round{'s' * (rounds > 1)}; {found.cores}; moves: {found.placement}."
    outcome = {True: "met", False: "MISSED", None: "not measured"}[figures.met(found.figures)]
    return "\n".join([title, figures.table(found.figures, beside="plaintext"), f"All goals: {outcome}."])


def main() -> int:
    options = _options()
    end_on_sigterm()
    parts = [part for part in PARTS if part in (options.only or PARTS)]
    with certificate() as files:
        found = Run(options, files)
        try:
            check_tools([load for load, _ in _LOADS])
            allow_descriptors(options.connections * 2 + _OTHER_DESCRIPTORS)
            for number in range(options.rounds):
                found.round(number, parts)
        except BenchmarkError as error:
            print(f"tls: {error}", file=sys.stderr)
            return 2
    if options.json:
        print(json.dumps(_document(found), indent=2))
    else:
        print(_table(found, options.rounds))
    return 1 if figures.met(found.figures) is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
