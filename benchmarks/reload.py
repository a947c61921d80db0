"""What a reload costs those who are connected: lost connections, failed calls, pauses, and how long it takes.

    python -m benchmarks.reload

Thousands of connections with an actor each are on two hubs; some hundreds of them are grpcio clients with an
open stream, that make numbered calls all the time and check them. Then the broker is asked for a reload, as
`actorrpc reload` asks it. README.md says more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from actorrpc.percentile import percentile
from benchmarks import figures
from benchmarks.accounting import cpu_seconds
from benchmarks.figures import Figure
from benchmarks.gen.bench_pb2 import Count
from benchmarks.idle_connections import IdleConnection, crowd
from benchmarks.numbered_clients import NumberedClients, numbered_clients
from benchmarks.processes import BenchmarkError, allow_descriptors, end_on_sigterm
from benchmarks.rounds import progress
from benchmarks.two_hubs import Placement, TwoHubs, two_hubs

#: The goals.
_LOAD, _GONE, _PAUSE = 30.0, 10.0, 20.0
#: Between two looks at how far the reload is, as `actorrpc reload` looks.
_LOOK = 0.1
#: Open files that are not connections: libraries, pipes, epoll, listeners, links.
_OTHER_DESCRIPTORS = 200


class Reloaded(NamedTuple):
    """How a reload went, in seconds of the monotonic clock."""

    began: float
    #: When it was seen that all new hubs were ready, and that no old one was left.
    ready: float
    gone: float


class Run:
    """The figures of all rounds."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._load = Figure("load", "CPU that all took before, of all cores", "%", _LOAD)
        self._lost = Figure("disconnects", "disconnects", "", 0)
        self._failed = Figure("failed_calls", "failed calls", "", 0)
        self._ready = Figure("ready", "until the new hubs were ready", "s")
        self._gone = Figure("gone", "until the old generation had gone", "s", _GONE)
        self._pauses = [
            Figure("pause_p50", "pause of a connection, as its hubs have it: p50", "ms"),
            Figure("pause_p99", "pause of a connection, as its hubs have it: p99", "ms", _PAUSE),
        ]
        self._calls = [
            Figure(f"call_{key}", f"calls {when}, as clients saw them: {word}", "ms")
            for when, key in (("until the new hubs were ready", "starting"), ("from then on", "moving"))
            for key, word in ((f"{key}_p50", "p50"), (f"{key}_p99", "p99"), (f"{key}_max", "longest"))
        ]

    @property
    def figures(self) -> list[Figure]:
        times = [self._ready, self._gone]
        return [self._load, self._lost, self._failed, *times, *self._pauses, *self._calls]

    def round(self) -> None:
        options = self._options
        with (
            two_hubs(Placement(None, None, None), drain_timeout=options.drain_timeout) as hubs,
            crowd(hubs.address, options.connections - options.streams) as idle,
            numbered_clients(hubs.address, options.streams, options.period) as clients,
        ):
            sleep(options.period)  # until all of them have begun
            steady = monotonic()
            self._note(self._load, 100 * _load(hubs, clients, options.seconds))
            reloaded = _reload(hubs)
            moves = hubs.broker.status()["moves"]
            found = clients.end()
            lost, failed = _check(idle)
        self._note(self._lost, found.lost + lost)
        self._note(self._failed, len(found.failed) + failed)
        for what in found.failed[:3]:
            progress(f"a call failed: {what}")
        self._note(self._ready, reloaded.ready - reloaded.began)
        self._note(self._gone, reloaded.gone - reloaded.began)
        for figure, percent in zip(self._pauses, (50, 99), strict=True):
            self._note(figure, moves[f"pause_ms_p{percent}"])
        self._note_calls(found.calls, steady, reloaded)

    def _note_calls(self, calls: Sequence[tuple[float, float]], steady: float, reloaded: Reloaded) -> None:
        before = _described(_between(calls, steady, reloaded.began))
        during = [
            *_described(_between(calls, reloaded.began, reloaded.ready)),
            *_described(_between(calls, reloaded.ready, reloaded.gone)),
        ]
        for figure, here, there in zip(self._calls, during, before * 2, strict=True):
            figure.beside.append(there)
            self._note(figure, here)

    def _note(self, figure: Figure, value: float) -> None:
        figure.rounds.append(value)
        progress(f"round {len(figure.rounds)}: {figure.title}: {value:.4g} {figure.unit}")


def _load(hubs: TwoHubs, clients: NumberedClients, seconds: float) -> float:
    """The share of all cores that the server and its clients take."""
    pids = [hubs.broker.status()["broker_pid"], clients.pid]  # hubs are the broker's children
    before, began = sum(map(cpu_seconds, pids)), monotonic()
    sleep(seconds)
    used, elapsed = sum(map(cpu_seconds, pids)) - before, monotonic() - began
    return used / elapsed / len(os.sched_getaffinity(0))


def _reload(hubs: TwoHubs) -> Reloaded:
    """Have the broker reload, and look at it until no old hub is left."""
    began, ready = monotonic(), 0.0
    hubs.broker.reload()
    while True:
        sleep(_LOOK)
        state = hubs.broker.status()["reload"]
        if state["phase"] == "abandoned":
            raise BenchmarkError(f"the reload was abandoned: {state['error']}")
        if not ready and state["phase"] != "starting":
            ready = monotonic()
        if state["phase"] == "done" and not any(Path(f"/proc/{pid}").exists() for pid in hubs.pids):
            return Reloaded(began, ready, monotonic())


def _check(idle: Sequence[IdleConnection]) -> tuple[int, int]:
    """Make a call on each idle connection. Returns how many are lost, and how many have an actor that has
    lost what it counted."""
    lost = failed = 0
    for connection in idle:
        try:
            connection.call()
        except BenchmarkError as error:
            progress(str(error))
            lost += 1
        else:
            failed += Count.FromString(connection.reply[5:]).calls != 2
    return lost, failed


def _between(calls: Sequence[tuple[float, float]], begin: float, end: float) -> list[float]:
    """What the calls took that were under way between two times, in ms."""
    found = [took * 1e3 for began, took in calls if began < end and began + took > begin]
    if not found:
        raise BenchmarkError("no client made a call: there are too few, or they take too long a rest")
    return found


def _described(took: Sequence[float]) -> list[float]:
    return [percentile(took, 50), percentile(took, 99), max(took)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What a reload costs those who are connected.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="rounds, each with new hubs and clients")
    add("--connections", type=int, default=5000, metavar="N", help="connections, with an actor each")
    add(
        "--streams",
        type=int,
        default=500,
        metavar="N",
        help="those that are grpcio clients with open streams",
    )
    add("--period", type=float, default=1.0, metavar="S", help="seconds between a client's pairs of calls")
    add("--seconds", type=float, default=10.0, metavar="S", help="how long to look at what was before")
    add("--drain-timeout", type=float, default=10.0, metavar="S", help="as `actorrpc serve` has it")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    if min(options.rounds, options.streams, options.connections - options.streams) < 1:
        parser.error("it takes a round, a stream, and a connection without one at least")
    if min(options.period, options.seconds) <= 0:
        parser.error("it takes some time")
    return options


def _document(run: Run) -> dict[str, Any]:
    return {"met": figures.met(run.figures), "results": figures.document(run.figures)}


def _table(run: Run, options: argparse.Namespace) -> str:
    title = (
        f"A reload with {options.connections:,} connections, {options.streams:,} of them with open streams: "
        f"{options.rounds} round{'s' * (options.rounds > 1)}, {len(os.sched_getaffinity(0))} cores."
    )
    outcome = {True: "met", False: "MISSED", None: "not measured"}[figures.met(run.figures)]
    return "\n".join([title, figures.table(run.figures, "before"), f"All goals: {outcome}."])


def main() -> int:
    options = _options()
    end_on_sigterm()
    found = Run(options)
    try:
        allow_descriptors(options.connections + _OTHER_DESCRIPTORS)
        for _ in range(options.rounds):
            found.round()
    except BenchmarkError as error:
        print(f"reload: {error}", file=sys.stderr)
        return 2
    print(json.dumps(_document(found), indent=2) if options.json else _table(found, options))
    return 1 if figures.met(found.figures) is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
