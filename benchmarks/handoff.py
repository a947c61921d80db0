"""What moving connections costs: the pause that a client sees, moves per second, draining a hub.

    python -m benchmarks.handoff

A grpcio client plays ping-pong on a stream while its connection is moved between two hubs, with states from
100 B to 32 MB, first idle, then with both hubs busy; what a round trip with a move takes longer than those
without is the pause. Thousands of connections that repeat what grpcio sends are moved for the rates. In the
same run stands what a descriptor, 1 kB and an acknowledgement cost between two processes. README.md says
more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from shutil import which
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from actorrpc.percentile import percentile
from benchmarks import descriptor_passing, figures
from benchmarks.certificate import Files, certificate
from benchmarks.figures import Figure
from benchmarks.gen.bench_pb2 import Count
from benchmarks.idle_connections import IdleConnection, crowd
from benchmarks.ping_pong import ping_pong
from benchmarks.processes import BenchmarkError, allow_descriptors, end_on_sigterm
from benchmarks.rounds import progress, rotated
from benchmarks.two_hubs import BUSY, Placement, TwoHubs, busy, two_hubs

#: Sizes of states: how they are called, and how many moves there are of one for each of `--moves`.
SIZES = {100: ("100 B", 1.0), 16_000: ("16 kB", 1.0), 1_000_000: ("1 MB", 0.2), 32_000_000: ("32 MB", 0.03)}
#: The fewest moves of a size in a round.
_FEWEST = 4

#: The goals. Pauses are those of 16 kB on idle hubs.
_PAUSE_P50, _PAUSE_P99 = 0.5e-3, 3e-3
_GOALS_FOR = 16_000, "idle"
_FLOORS = 10
_MOVES_PER_SECOND = 2000
_DRAIN_RATE = 5000 / 4.0
_PREPARE_BYTES = 600

#: Moves under way at a time: the broker asks hubs no more while one has not read what it was asked.
_WINDOW = 32
#: Connections that moves per second are measured with, and those whose PREPAREs are weighed.
_SHUTTLED = 200
_WEIGHED = 20
_FLOOR_TRIPS = 2000

#: Open files that are not connections: libraries, pipes, epoll, listeners, links.
_OTHER_DESCRIPTORS = 200

#: Seconds until connections that have been moved must be there.
_ARRIVAL = 10.0


class Run:
    """The figures of all rounds."""

    def __init__(
        self, placement: Placement, loads: Sequence[str], options: argparse.Namespace, tls: Files | None
    ) -> None:
        self._placement = placement
        self._tls = tls
        self._loads = loads
        self._options = options
        self._pauses = {(size, load): _pause_figures(size, load) for load in loads for size in SIZES}
        goal_title = _title(*_GOALS_FOR)
        self._floor = Figure("floor", "send_fds, 1 kB and an acknowledgement: p50", "ms")
        self._floors = Figure("floors", f"{goal_title}: p50, in floors", "×", _FLOORS)
        self._rate = Figure("moves_per_second", "moves per second", "/s", _MOVES_PER_SECOND, at_least=True)
        count = options.connections
        self._drain = Figure(
            "drain", f"drain a hub with {count:,} idle connections", "s", count / _DRAIN_RATE
        )
        self._prepare = Figure("prepare", "bytes on the link per idle connection", "B", _PREPARE_BYTES)
        self._busy = Figure("busy", "how busy the hubs were meanwhile", "%")

    @property
    def figures(self) -> list[Figure]:
        pauses = [figure for both in self._pauses.values() for figure in both]
        load = [self._busy] if self._busy.rounds else []
        return [*pauses, *load, self._floor, self._floors, self._rate, self._drain, self._prepare]

    def round(self, number: int) -> None:
        """Measure everything once, in an order that rotates from round to round."""
        parts: list[Callable[[], None]] = [
            self._measure_floor,
            lambda: self._measure_pauses(number),
            self._measure_rate,
            self._measure_drain,
            self._measure_prepare,
        ]
        for measure in rotated(parts, number):
            measure()
        at_rest = self._pauses[_GOALS_FOR][0]
        self._floors.rounds.append(at_rest.rounds[-1] / self._floor.rounds[-1])

    def _measure_floor(self) -> None:
        trips = descriptor_passing.round_trips(_FLOOR_TRIPS, self._placement.hubs)
        self._note(self._floor, percentile(trips, 50) * 1e3)

    def _measure_pauses(self, number: int) -> None:
        for load in rotated(self._loads, number):
            with self._hubs() as hubs, ExitStack() as loaded:
                if load == "busy":
                    loaded.enter_context(busy(hubs, self._placement))
                before, began = hubs.cpu_seconds(), monotonic()
                for size in rotated(list(SIZES), number):
                    self._measure_pause(hubs, size, load)
                elapsed = monotonic() - began
                used = sum(hubs.cpu_seconds()) - sum(before)
                if load == "busy":
                    self._note(self._busy, 100 * used / elapsed / len(hubs.pids))

    def _measure_pause(self, hubs: TwoHubs, size: int, load: str) -> None:
        moves = max(_FEWEST, round(self._options.moves * SIZES[size][1]))
        options, ca = self._options, "" if self._tls is None else self._tls.ca
        found = ping_pong(hubs, size, moves, options.between, self._placement.client, ca)
        for figure, percent in zip(self._pauses[size, load], (50, 99), strict=True):
            figure.beside.append(percentile(found.unmoved, percent) * 1e3)
            self._note(figure, percentile(found.extra, percent) * 1e3)

    def _measure_rate(self) -> None:
        with self._hubs() as hubs, crowd(hubs.address, _SHUTTLED, hubs.tls_address):
            connections = hubs.connections("bench.Counter")
            hubs.broker.shuttle(connections, _SHUTTLED, _WINDOW)  # a warm-up
            connections = hubs.connections("bench.Counter")
            took = hubs.broker.shuttle(connections, self._options.shuttles, _WINDOW)
            self._note(self._rate, self._options.shuttles / took)

    def _measure_drain(self) -> None:
        count = self._options.connections
        with self._hubs() as hubs, crowd(hubs.address, count, hubs.tls_address) as connections:
            on_hub_1 = [id for id, hub in hubs.connections("bench.Counter") if hub == 1]
            hubs.broker.move_all(((id, 0) for id in on_hub_1), _WINDOW)
            found = _gathered(hubs, count)
            self._note(self._drain, hubs.broker.move_all(((id, 1) for id, _ in found), _WINDOW))
            _check(connections)

    def _measure_prepare(self) -> None:
        with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
            notes = Path(folder, "prepares")
            with self._hubs(notes) as hubs, crowd(hubs.address, _WEIGHED, hubs.tls_address):
                hubs.broker.shuttle(hubs.connections("bench.Counter"), _WEIGHED, 1)
            sizes = [int(line) for line in notes.read_text().split()]
        if len(sizes) != _WEIGHED:
            raise BenchmarkError(f"{len(sizes)} PREPAREs were sent for {_WEIGHED} moves")
        self._note(self._prepare, median(sizes))

    def _hubs(self, prepares: Path | None = None) -> AbstractContextManager[TwoHubs]:
        return two_hubs(self._placement, prepares=prepares, tls=self._tls)

    def _note(self, figure: Figure, value: float) -> None:
        figure.rounds.append(value)
        progress(f"round {len(figure.rounds)}: {figure.title}: {value:.4g} {figure.unit}")


def _gathered(hubs: TwoHubs, count: int) -> list[tuple[str, int]]:
    """All connections, once hub 0 has them. A move is done when the socket is on its way: the hub that it
    goes to may not have read it yet."""
    give_up = monotonic() + _ARRIVAL
    while True:
        found = hubs.connections("bench.Counter")
        left = sum(hub == 1 for _, hub in found)
        if len(found) == count and not left:
            return found
        if monotonic() > give_up:
            raise BenchmarkError(f"of {count} connections {len(found)} are there, {left} not on hub 0")


def _pause_figures(size: int, load: str) -> tuple[Figure, Figure]:
    """The pause's median, and its 99th percentile."""
    goals = (_PAUSE_P50 * 1e3, _PAUSE_P99 * 1e3) if (size, load) == _GOALS_FOR else (None, None)
    title = _title(size, load)
    p50, p99 = (
        Figure(f"pause_{percent}_{size}_{load}", f"{title}: {percent}", "ms", goal)
        for percent, goal in zip(("p50", "p99"), goals, strict=True)
    )
    return p50, p99


def _title(size: int, load: str) -> str:
    return f"pause, {SIZES[size][0]}, {load}"


def _check(connections: Sequence[IdleConnection]) -> None:
    """Raise BenchmarkError unless each connection still has its session, and its actor what it counted."""
    for connection in connections:
        connection.call()
        if Count.FromString(connection.reply[5:]).calls != 2:
            raise BenchmarkError("an actor has lost its state")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What moving connections costs: pauses, moves per second, draining a hub.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="rounds, each with everything")
    add("--moves", type=int, default=300, metavar="N", help="moves of a small state in a round")
    add("--between", type=int, default=20, metavar="N", help="round trips from a move to the next")
    add("--shuttles", type=int, default=5000, metavar="N", help="moves that moves per second are taken of")
    add("--connections", type=int, default=5000, metavar="N", help="idle connections of the drained hub")
    add("--only-idle", action="store_true", help="leave out the busy hubs, for which h2load is needed")
    add("--tls", action="store_true", help="all clients but the busy hubs' load speak TLS")
    add("--quick", action="store_true", help="a tenth of it all, once: to see that it works")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
        for name in ("moves", "shuttles", "connections"):
            setattr(options, name, max(1, getattr(options, name) // 10))
    if min(options.rounds, options.moves, options.between, options.shuttles, options.connections) < 1:
        parser.error("it takes one of each at least")
    return options


def _document(run: Run, placement: Placement) -> dict[str, Any]:
    return {
        "cores": placement._asdict(),
        "busy": BUSY,
        "met": figures.met(run.figures),
        "results": figures.document(run.figures),
    }


def _table(run: Run, placement: Placement, rounds: int) -> str:
    title = f"Moving connections: {rounds} round{'s' * (rounds > 1)}; {placement}."
    outcome = {True: "met", False: "MISSED", None: "not measured"}[figures.met(run.figures)]
    return "\n".join([title, figures.table(run.figures), f"All goals: {outcome}."])


def main() -> int:
    options = _options()
    end_on_sigterm()
    placement = Placement.choose()
    loads = ["idle"] if options.only_idle else ["idle", "busy"]
    secured = ExitStack()
    tls = secured.enter_context(certificate()) if options.tls else None
    found = Run(placement, loads, options, tls)
    try:
        if "busy" in loads and which("h2load") is None:
            raise BenchmarkError(
                "h2load is missing: Debian and Ubuntu have it in the package nghttp2-client; "
                "or leave out what needs it with --only-idle"
            )
        allow_descriptors(max(options.connections, _SHUTTLED) + _OTHER_DESCRIPTORS)
        for number in range(options.rounds):
            found.round(number)
    except BenchmarkError as error:
        print(f"handoff: {error}", file=sys.stderr)
        return 2
    finally:
        secured.close()
    if options.json:
        print(json.dumps(_document(found, placement), indent=2))
    else:
        print(_table(found, placement, options.rounds))
    return 1 if figures.met(found.figures) is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
