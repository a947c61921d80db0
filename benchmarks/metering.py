"""What it costs a hub to know what each connection takes, and how true that is.

    python -m benchmarks.metering

Connections burn known shares of a core, first in a hub that has the core for itself, then in one beside a
program that wants all of it; that is compared with what they are charged. Then it is measured what a bracket
costs, and what a report costs with 20,000 connections. README.md says more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from time import monotonic, sleep, thread_time
from timeit import Timer

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

import grpc

from actorrpc.hub.metering.usage import Meter, Usage
from benchmarks import figures
from benchmarks.background_load import background_load
from benchmarks.figures import Figure
from benchmarks.gen.bench_pb2 import Note
from benchmarks.gen.bench_pb2_grpc import EchoStub
from benchmarks.processes import BenchmarkError, Cores, end_on_sigterm, on_core, python, run, server

#: The goals: per cent of a connection's share, if that is 5 % of a core or more; microseconds of a bracket,
#: of which the cheapest call has one, and takes some fifty; per cent of a core.
_ERROR, _BRACKET, _REPORTING = 10.0, 0.5, 0.5

#: Shares of a core, and how many connections burn each.
CPU_LOADS = {0.3: 1, 0.1: 1, 0.05: 1, 0.002: 40}

#: Before charges are compared: connections have to be made.
_SETTLE = 2.0

#: By the client's address: the share that it claims, seconds that it has burnt, seconds charged.
Account = dict[str, tuple[float, float, float]]


def measure_truth(cores: Cores, rounds: int, seconds: float) -> list[Figure]:
    """By how much what connections are charged differs from what their handlers burnt."""
    errors: defaultdict[tuple[str, float], list[float]] = defaultdict(list)
    with server("metered", cores.server) as hub:
        for _ in range(rounds):
            for where in ("alone", "beside"):
                with neighbour(cores.server, where == "beside"), cpu_loads(hub.address, cores):
                    sleep(_SETTLE)
                    before = account(hub.address)
                    sleep(seconds)
                    for share, error in _errors(before, account(hub.address)):
                        errors[where, share].append(error)
    found = []
    for (where, share), values in sorted(errors.items(), key=lambda each: (each[0][0], -each[0][1])):
        title = f"{CPU_LOADS[share]} × {share:.1%}{' (all of them)' * (CPU_LOADS[share] > 1)}, {where}: error"
        goal = _ERROR if share >= 0.05 else None
        found.append(Figure(f"error_{share}_{where}", title, "%", goal, rounds=values))
    if len(found) < 2 * len(CPU_LOADS):
        raise BenchmarkError("a connection that was to burn a share of a core got none")
    return found


@contextmanager
def neighbour(core: int | None, wanted: bool) -> Iterator[None]:
    """Keep the core busy in the block, as another program of the same priority does."""
    if not wanted:
        yield
        return
    with on_core(core):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def cpu_loads(address: str, cores: Cores) -> Iterator[None]:
    """Keep a call in flight on each connection of ``CPU_LOADS`` in the block."""
    with ExitStack() as running:
        for share, count in CPU_LOADS.items():
            running.enter_context(background_load(address, share, count, cores.client))
        yield


def account(address: str) -> Account:
    with grpc.insecure_channel(address) as channel:
        found: Account = json.loads(EchoStub(channel).Say(Note(), timeout=60).text)
        return found


def _errors(before: Account, after: Account) -> Iterator[tuple[float, float]]:
    """For each share how wrong the charges for it are, in per cent."""
    burnt: defaultdict[float, float] = defaultdict(float)
    charged: defaultdict[float, float] = defaultdict(float)
    for peer, (share, burnt_by_now, charged_by_now) in after.items():
        _, burnt_before, charged_before = before.get(peer, (share, 0.0, 0.0))
        burnt[share] += burnt_by_now - burnt_before
        charged[share] += charged_by_now - charged_before
    for share in burnt:
        if burnt[share]:
            yield share, abs(charged[share] / burnt[share] - 1) * 100


def measure_bracket(rounds: int) -> Figure:
    """What it takes to begin a bracket and to end it."""
    usage = Usage(Meter(), "")
    names = {"usage": usage, "monotonic": monotonic}
    timer = Timer("usage.spend(monotonic() - usage.meter.charged)", timer=thread_time, globals=names)
    seconds = timer.repeat(rounds, 100_000)
    return Figure("bracket", "a bracket", "µs", _BRACKET, rounds=[each / 100_000 * 1e6 for each in seconds])


def measure_reports(connections: int, rounds: int) -> list[Figure]:
    """What reporting takes of a core, four times a second, with so many connections."""
    found = []
    active = connections // 20
    titles = {0: "all idle", active: f"{active:,} of them active"}
    for count, title in titles.items():
        command = python("benchmarks.clients.reports", f"--connections={connections}", f"--active={count}")
        answer = json.loads(run([*command, f"--rounds={rounds}"], timeout=120))
        figure = Figure(f"reports_{count}", f"reports of {connections:,}, {title}", "% of a core", _REPORTING)
        figure.rounds = [each * 4 * 100 for each in answer["seconds"]]
        size = Figure(f"bytes_{count}", "the size of one", "B", rounds=[float(answer["bytes"])])
        found += [figure, size]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="in which charges are compared")
    parser.add_argument("--seconds", type=float, default=10.0, help="that each of them takes")
    parser.add_argument("--connections", type=int, default=20_000, help="that a report is made of")
    parser.add_argument("--report-rounds", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--no-verdict", action="store_true", help="exit with 0 also if a goal is missed")
    options = parser.parse_args()
    end_on_sigterm()
    cores = Cores.choose()
    try:
        if which("h2load") is None:
            raise BenchmarkError("h2load is missing: Debian and Ubuntu have it in the package nghttp2-client")
        found = measure_truth(cores, options.rounds, options.seconds)
        found.append(measure_bracket(options.rounds))
        found += measure_reports(options.connections, options.report_rounds)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    met = figures.met(found)
    if options.json:
        print(json.dumps({"met": met, "results": figures.document(found)}))
    else:
        print(f"{cores}.\n{figures.table(found)}")
    if met is False and not options.no_verdict:
        sys.exit(1)


if __name__ == "__main__":
    main()
