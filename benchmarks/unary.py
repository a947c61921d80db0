"""Server CPU time per unary call: grpcio, grpcio.aio and actorrpc beside each other.

    python -m benchmarks.unary

The three servers have the same .proto and do the same work in one process each. In each round each of them
is started anew, takes all loads from a client on another core, and ends; the order rotates from round to
round, so that a machine that grows slower or faster meanwhile does it to all of them. README.md says more.

Exit status: 0 if actorrpc costs at most a fifth of the better grpcio under each load, 1 if it costs more,
2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks import timeouts
from benchmarks.accounting import cpu_parts
from benchmarks.comparison import Comparison, Result
from benchmarks.loads import LOADS, Load, check_tools, verify
from benchmarks.processes import BenchmarkError, Cores, Server, end_on_sigterm, server
from benchmarks.rounds import progress, rotated

#: Names of servers, and their programs in benchmarks/servers.
SERVERS = {"grpcio": "grpcio_sync", "grpcio.aio": "grpcio_aio", "actorrpc": "actorrpc_one"}

#: One warm-up call for so many that are measured: imports are done, memos and allocators have their size.
_CALLS_PER_WARM_UP = 5


def compare(
    servers: Sequence[str], loads: Sequence[Load], rounds: int, calls: int, least_cpu: float
) -> Comparison:
    """Measure all servers under all loads. Raises BenchmarkError as soon as a call fails."""
    cores = Cores.choose()
    results = {(name, load.name): Result(name, load) for load in loads for name in servers}
    found = Comparison(cores, least_cpu, results)
    for number in range(rounds):
        for name in rotated(servers, number):
            with server(SERVERS[name], cores.server) as running:
                verify(running.address, cores.client)
                if number == 0 and name == servers[0] and any(load.deadlines for load in loads):
                    found.timeout_changes = timeouts.changes(running.address, cores.client)
                for load in rotated(loads, number):
                    result = results[name, load.name]
                    _measure(result, running, calls, least_cpu, cores.client)
                    cost = f"{result.rounds[-1] * 1e6:.1f} µs"
                    progress(f"round {number + 1} of {rounds}: {name}, {load.title}: {cost}")
    return found


def _measure(result: Result, running: Server, calls: int, least_cpu: float, core: int | None) -> None:
    """Repeat the load until the server has used so much CPU that the clock's tick does not matter."""
    load = result.load
    load.run(running.address, max(load.at_once, calls // _CALLS_PER_WARM_UP), core)
    made = 0
    used = kernel = 0.0
    before = cpu_parts(running.pid)
    while not made or used < least_cpu:
        load.run(running.address, calls, core)
        made += calls
        after = cpu_parts(running.pid)
        used, kernel = sum(after) - sum(before), after[1] - before[1]
    result.rounds.append(used / made)
    result.kernel.append(kernel / made)
    result.calls += made


def _options() -> argparse.Namespace:
    names = [*SERVERS, *(load.name for load in LOADS)]
    parser = argparse.ArgumentParser(
        description="Server CPU time per unary call: grpcio, grpcio.aio and actorrpc beside each other.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="rounds, each with all servers and loads")
    add("--calls", type=int, default=8000, metavar="N", help="calls of one batch")
    add("--least-cpu", type=float, default=1.0, metavar="S",
        help="repeat a batch until the server has used so many seconds of CPU")  # fmt: skip
    add("--only", action="append", choices=names, metavar="NAME",
        help=f"only this server or load; repeat it for more: {', '.join(names)}")  # fmt: skip
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if the goal is missed")
    options = parser.parse_args()
    least = max(load.at_once for load in LOADS)
    if options.rounds < 1 or options.calls < least:
        parser.error(f"it takes 1 round and {least} calls at least: so many are in flight at once")
    return options


def main() -> int:
    options = _options()
    end_on_sigterm()
    only = options.only or ()
    servers = [name for name in SERVERS if name in only] or list(SERVERS)
    loads = [load for load in LOADS if load.name in only] or LOADS
    try:
        check_tools(loads)
        found = compare(servers, loads, options.rounds, options.calls, options.least_cpu)
    except BenchmarkError as error:
        print(f"unary: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps(found.document(), indent=2))
    else:
        print(found.table(), found.verdict(), sep="\n")
    return 1 if found.met is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
