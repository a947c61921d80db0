"""What it costs a hub to know what each connection takes, and how true that is.

    python -m benchmarks.metering

One server exchanges its metering while it runs: left out, as it is (brackets), by a hook on every switch of
greenlets, and by samples. The same calls are made under each in turn, many times. Then connections that burn
known shares of CPU are charged by each. Last, what a report costs with 20,000 connections. README.md says
more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from time import sleep
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks import figures
from benchmarks.burden import burden
from benchmarks.figures import Figure
from benchmarks.loads import LOADS, Load
from benchmarks.processes import BenchmarkError, Cores, end_on_sigterm, python, run, server

WAYS = ("brackets", "switches", "samples")

#: The goals: per cent of the CPU of a call, and of a connection's share if that is over 5 % of the hub.
_COST, _ERROR = 2.0, 10.0
_REPORTING = 0.5

#: Loads, and whether their handler blocks once.
CALLS: dict[str, tuple[Load, bool]] = {
    "ping-pong": (LOADS[0], False),
    "pipelined": (LOADS[1], False),
    "blocking": (replace(LOADS[0], name="blocking"), True),
}

#: Shares of a core, and how many connections burn each.
BURDENS = {0.3: 1, 0.1: 1, 0.05: 1, 0.002: 40}

#: Before charges are compared: connections have to be made.
_SETTLE = 2.0


class Metered:
    """The server, and the socket that it takes commands at."""

    def __init__(self, address: str, pid: int, path: str) -> None:
        self.address = address
        self._pid = pid
        self._path = path

    def tell(self, **command: Any) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self._path)
            with sock.makefile("rw") as stream:
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                answer: dict[str, Any] = json.loads(stream.readline())
                return answer

    def cpu_seconds(self) -> float:
        """CPU of the process's main thread, which is all of the hub, to the nanosecond."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def metered(cores: Cores) -> Iterator[Metered]:
    with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
        path = str(Path(folder, "commands"))
        with server("metered", cores.server, path) as running:
            yield Metered(running.address, running.pid, path)


def measure_cost(hub: Metered, cores: Cores, rounds: int, calls: int, blocks: int) -> list[Figure]:
    """What each way of metering adds to a call, in per cent of one that is not metered, system calls and all.

    What is added is taken from calls that are replayed in one process: between batches of h2load a machine
    changes more than metering costs. Of some blocks in a row the fastest counts, since all that others do
    to a block makes it slower.
    """
    hub.tell(way="off")
    replayed = json.loads(
        run(python("benchmarks.clients.replayed", f"--rounds={rounds * blocks}"), cores.server, timeout=600)
    )
    found = []
    for name, (load, blocking) in CALLS.items():
        hub.tell(blocking=blocking)
        whole = Figure(f"{name}_off", f"{name}: a call, not metered", "µs")
        for _ in range(rounds):
            before = hub.cpu_seconds()
            load.run(hub.address, calls, cores.client)
            whole.rounds.append((hub.cpu_seconds() - before) / calls * 1e6)
        found.append(whole)
        for way in WAYS:
            goal = _COST if way == "brackets" else None
            figure = Figure(f"{name}_{way}", f"{name}: more by {way}", "%", goal)
            for at in range(0, rounds * blocks, blocks):
                best = {each: min(replayed[name][each][at : at + blocks]) for each in ("off", way)}
                figure.rounds.append((best[way] - best["off"]) / min(whole.rounds) * 100)
            found.append(figure)
    hub.tell(blocking=False)
    return found


def measure_truth(hub: Metered, cores: Cores, rounds: int, seconds: float) -> list[Figure]:
    """By how much what connections are charged differs from what their handlers burnt."""
    errors: dict[tuple[float, str], list[float]] = {(share, way): [] for share in BURDENS for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            hub.tell(way=way)
            with burdens(hub.address, cores):  # new ones: a connection is metered as when it was made
                sleep(_SETTLE)
                before = hub.tell(account=True)
                sleep(seconds)
                after = hub.tell(account=True)
                for share, error in _errors(before, after):
                    errors[share, way].append(error)
    found = []
    for (share, way), values in errors.items():
        if not values:
            raise BenchmarkError(f"the connection that was to burn {share:.1%} of a core got none")
        goal = _ERROR if way == "brackets" and share >= 0.05 else None
        crowd = " (all of them)" if BURDENS[share] > 1 else ""
        title = f"{BURDENS[share]} × {share:.1%}{crowd}: error of {way}"
        found.append(Figure(f"error_{share}_{way}", title, "%", goal, rounds=values))
    return found


@contextmanager
def burdens(address: str, cores: Cores) -> Iterator[None]:
    """Keep a call in flight on each connection of ``BURDENS`` in the block."""
    with ExitStack() as running:
        for share, count in BURDENS.items():
            running.enter_context(burden(address, share, count, cores.client))
        yield


def _errors(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[float, float]]:
    """For each burden its share, and how wrong its charge is, in per cent."""
    crowd = [0.0, 0.0]
    for peer, burnt in after["burnt"].items():
        truth = burnt - before["burnt"].get(peer, 0.0)
        charge = after["charged"].get(peer, 0.0) - before["charged"].get(peer, 0.0)
        share = after["claimed"][peer]
        if truth and BURDENS[share] == 1:
            yield share, abs(charge / truth - 1) * 100
        else:
            crowd = [crowd[0] + truth, crowd[1] + charge]
    if crowd[0]:
        yield min(BURDENS), abs(crowd[1] / crowd[0] - 1) * 100


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
    parser.add_argument("--rounds", type=int, default=10, help="figures of the cost of a call")
    parser.add_argument("--blocks", type=int, default=30, help="blocks of calls that each is taken from")
    parser.add_argument("--calls", type=int, default=5000, help="calls in a batch")
    parser.add_argument("--truth-rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="for which charges are compared")
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
        with metered(cores) as hub:
            found = measure_cost(hub, cores, options.rounds, options.calls, options.blocks)
            found += measure_truth(hub, cores, options.truth_rounds, options.seconds)
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
