"""Server CPU time per unary call: grpcio, grpcio.aio and actorrpc beside each other.

    python -m benchmarks.unary

The three servers have the same .proto and do the same work in one process each. In each round each of them
is started anew, takes all loads from a client on another core, and ends; the order rotates from round to
round, so that a machine that grows slower or faster meanwhile does it to all of them. README.md says more.

Exit status: 0 if actorrpc costs at most a fifth of the better grpcio under each load, 1 if not, 2 if
something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks import timeouts
from benchmarks.accounting import TICK, cpu_seconds
from benchmarks.loads import LOADS, Load, check_tools, verify
from benchmarks.processes import BenchmarkError, Cores, Server, end_on_sigterm, server

#: What actorrpc may cost, as a share of the better grpcio.
GOAL = 1 / 5

#: Names of servers, and the programs of benchmarks/servers.
SERVERS = {"grpcio": "grpcio_sync", "grpcio.aio": "grpcio_aio", "actorrpc": "actorrpc_one"}
RIVALS = ("grpcio", "grpcio.aio")

#: A call before each measurement for so many in it: imports, memos and allocators are warm.
_WARM_UP_SHARE = 5


@dataclass
class Result:
    """One server under one load: seconds of CPU per call, one figure for each round."""

    server: str
    load: Load
    rounds: list[float] = field(default_factory=list)
    calls: int = 0

    @property
    def median(self) -> float:
        return median(self.rounds)


@dataclass
class Comparison:
    """What a run has found."""

    cores: Cores
    results: dict[tuple[str, str], Result]
    #: The share of calls with another grpc-timeout than the call before; None if no load has deadlines.
    timeout_changes: float | None

    def ratio(self, result: Result) -> float | None:
        """Its cost as a share of the better grpcio's; None unless both were measured."""
        rivals = [self.results.get((name, result.load.name)) for name in RIVALS]
        medians = [rival.median for rival in rivals if rival is not None]
        return result.median / min(medians) if len(medians) == len(RIVALS) else None

    @property
    def met(self) -> bool | None:
        """Whether actorrpc reached the goal under each load; None if that was not measured."""
        ratios = [self.ratio(each) for each in self.results.values() if each.server == "actorrpc"]
        known = [ratio for ratio in ratios if ratio is not None]
        return all(ratio <= GOAL for ratio in known) if known and len(known) == len(ratios) else None


def compare(servers: Sequence[str], loads: Sequence[Load], rounds: int, calls: int, least_cpu: float) -> Comparison:
    """Measure all servers under all loads. Raises BenchmarkError as soon as a call fails."""
    cores = Cores.choose()
    found = Comparison(cores, {(name, load.name): Result(name, load) for load in loads for name in servers}, None)
    started = monotonic()
    for number in range(rounds):
        for name in _rotated(servers, number):
            with server(SERVERS[name], cores.server) as running:
                verify(running.address, cores.client)
                if found.timeout_changes is None and any(load.deadlines for load in loads):
                    found.timeout_changes = timeouts.changes(running.address, cores.client)
                for load in _rotated(loads, number):
                    result = found.results[name, load.name]
                    _measure(result, running, calls, least_cpu, cores)
                    note = f"round {number + 1}/{rounds}  {name:10}  {load.title:18}  {result.rounds[-1] * 1e6:6.1f} µs"
                    print(f"{monotonic() - started:4.0f} s  {note}", file=sys.stderr, flush=True)
    return found


def _measure(result: Result, running: Server, calls: int, least_cpu: float, cores: Cores) -> None:
    """Repeat the load until the server has used so much CPU that the clock's ticks do not matter."""
    load = result.load
    load.run(running.address, max(load.connections * load.in_flight, calls // _WARM_UP_SHARE), cores.client)
    made = 0
    used = 0.0
    before = cpu_seconds(running.pid)
    while not made or used < least_cpu:
        load.run(running.address, calls, cores.client)
        made += calls
        used = cpu_seconds(running.pid) - before
    result.rounds.append(used / made)
    result.calls += made


def _rotated(items: Sequence[Any], by: int) -> list[Any]:
    by %= len(items)
    return [*items[by:], *items[:by]]


# ---- what is printed


def table(found: Comparison, least_cpu: float) -> str:
    rows = [("load", "server", "µs per call", "of the better grpcio")]
    for result in found.results.values():
        low, high = min(result.rounds), max(result.rounds)
        ratio = found.ratio(result)
        cost = f"{result.median * 1e6:.1f}  ({low * 1e6:.1f}–{high * 1e6:.1f})"
        rows.append((result.load.title, result.server, cost, "" if ratio is None else f"{ratio:.3f}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    rounds = len(next(iter(found.results.values())).rounds)
    lines.insert(0, f"Server CPU per unary call: median (lowest–highest) of {rounds} rounds; {found.cores}.")
    lines.append(f"Clock tick {TICK * 1e3:g} ms, at least {least_cpu:g} s of server CPU in each measurement.")
    if found.timeout_changes is not None:
        share = found.timeout_changes
        lines.append(f"Deadlines: {share:.0%} of calls had another grpc-timeout than the call before, on the wire.")
    return "\n".join(lines)


def document(found: Comparison, least_cpu: float) -> dict[str, Any]:
    """The same for programs. Times are in seconds."""
    return {
        "cores": {"server": found.cores.server, "client": found.cores.client},
        "tick": TICK,
        "least_cpu": least_cpu,
        "timeout_changes": found.timeout_changes,
        "goal": GOAL,
        "met": found.met,
        "results": [
            {
                "server": result.server,
                "load": result.load.name,
                "connections": result.load.connections,
                "in_flight": result.load.in_flight,
                "deadlines": result.load.deadlines,
                "calls": result.calls,
                "cpu_per_call": {
                    "median": result.median,
                    "lowest": min(result.rounds),
                    "highest": max(result.rounds),
                    "rounds": result.rounds,
                },
                "ratio": found.ratio(result),
            }
            for result in found.results.values()
        ],
    }


def verdict(found: Comparison) -> str:
    if found.met is None:
        return "No verdict: actorrpc and both grpcio servers are needed for one."
    outcome = "met" if found.met else "MISSED"
    return f"Goal, at most {GOAL:g} of the better grpcio under each load: {outcome}."


def _options() -> argparse.Namespace:
    names = [*SERVERS, *(load.name for load in LOADS)]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=8000, metavar="N", help="of one batch; default: %(default)s")
    parser.add_argument(
        "--least-cpu", type=float, default=1.0, metavar="S",
        help="batches are repeated until the server has used so many seconds of CPU; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], choices=names, metavar="NAME",
        help=f"this server or load only; repeat it for more: {', '.join(names)}",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--no-verdict", action="store_true", help="end with status 0 also if the goal is missed")
    options = parser.parse_args()
    least = max(load.connections * load.in_flight for load in LOADS)
    if options.rounds < 1 or options.calls < least:
        parser.error(f"at least 1 round and {least} calls, one for each that is in flight")
    return options


def main() -> int:
    options = _options()
    end_on_sigterm()
    servers = [name for name in SERVERS if name in options.only] or list(SERVERS)
    loads = tuple(load for load in LOADS if load.name in options.only) or LOADS
    try:
        check_tools(loads)
        found = compare(servers, loads, options.rounds, options.calls, options.least_cpu)
    except BenchmarkError as error:
        print(f"unary: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(document(found, options.least_cpu), indent=2))
    else:
        print(table(found, options.least_cpu), verdict(found), sep="\n")
    return 1 if found.met is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
