"""What it costs a hub to freeze heavy connections and another to thaw them, and whether they know before.

    python -m benchmarks.move_cost

Each kind of connection is made in this process, frozen, put into its parcel and taken out of it, thawed and
served; what the thread computes meanwhile is compared with what `actorrpc connections` would have said. It
says so twice: by the prices alone, as a hub does that has moved nothing yet, and by what it has learnt from
all kinds. README.md says more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path
from time import thread_time

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

import gevent

from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.departure import Arrival, Departure
from actorrpc.hub.moving.memfd import packed, unpacked
from actorrpc.hub.moving.move_cost import Cost, MoveCosts, price
from actorrpc.hub.moving.snapshot import thaw
from actorrpc.pb.control_pb2 import Prepare
from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.heavy_connections import HEAVY_CONNECTIONS, HeavyConnection

#: By what factor an estimate may be off, where the move takes so many seconds or more: less stops nobody.
_OFF, _FROM = 2.5, 0.005


class Kind:
    """The figures of one kind of connection."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.source = Figure(f"source: {name}", f"{name}: source", "ms")
        self.target = Figure(f"target: {name}", "target", "ms")
        self.weighing = Figure(f"weighing: {name}", "telling it", "ms")
        self.priced = Figure(f"priced: {name}", "told by the prices", "×")
        self.learnt = Figure(f"learnt: {name}", "told by experience", "×")

    @property
    def figures(self) -> list[Figure]:
        return [self.source, self.target, self.weighing, self.priced, self.learnt]

    def measure(self, costs: MoveCosts) -> None:
        heavy = HeavyConnection()
        try:
            HEAVY_CONNECTIONS[self.name](heavy)
            began = thread_time()
            heavy.source.weigh(heavy.connection)
            told = price(contents(heavy.connection))
            self.weighing.rounds.append((thread_time() - began) * 1e3)
            took = _move(heavy)
        finally:
            heavy.close()
        for figure, seconds in ((self.source, took.freeze), (self.target, took.thaw)):
            figure.rounds.append(seconds * 1e3)
        self.priced.rounds.append(told.total / took.total)
        self.learnt.rounds.append(costs.by_pace(told).total / took.total)
        costs.freezing.learn(told.freeze, took.freeze)
        costs.thawing.learn(told.thaw, took.thaw)

    def judge(self) -> None:
        """Both ways of telling have a goal if there is something to tell."""
        if self.source.median + self.target.median >= _FROM * 1e3:
            for figure in (self.priced, self.learnt):
                figure.goal, figure.at_least = (_OFF, False) if figure.median >= 1 else (1 / _OFF, True)


def _move(heavy: HeavyConnection) -> Cost:
    """Move it as two hubs do; returns what each has computed."""
    target, costs = heavy.target, MoveCosts()
    departure, prepare = Departure(heavy.connection, costs), Prepare()
    heavy.on_loop(departure.quiesce, lambda: None)
    ours, theirs = socket.socketpair()
    with ours:
        began = thread_time()
        snapshot = departure.freeze()
        with packed(prepare, snapshot) as fds:
            freezing = thread_time() - began
            began = thread_time()
            with unpacked(prepare, fds, 1 << 30) as arrived:
                arrival = Arrival(thaw(target, target.resources, costs, arrived), target.adopt)
            thawing = thread_time() - began
        began = thread_time()
        heavy.on_loop(departure.release)
        freezing += thread_time() - began
        began = thread_time()
        heavy.on_loop(arrival.serve, theirs.detach())
        thawing += thread_time() - began
        gevent.sleep(0)
    return Cost(freezing, thawing)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What moving heavy connections costs two hubs, and whether they know before.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--rounds", type=int, default=5, metavar="N", help="rounds, each with all kinds")
    add("--only", action="append", default=[], metavar="WORD", help="kinds with this word in their names")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("it takes a round at least")
    return options


def main() -> int:
    options = _options()
    kinds = [Kind(name) for name in HEAVY_CONNECTIONS if all(word in name for word in options.only)]
    if not kinds:
        print("move_cost: there is no such kind", file=sys.stderr)
        return 2
    costs = MoveCosts()
    for _ in range(options.rounds):
        for kind in kinds:
            kind.measure(costs)
            print(f"{kind.name}: {kind.source.rounds[-1]:.3g} ms", file=sys.stderr, flush=True)
    for kind in kinds:
        kind.judge()
    found = [figure for kind in kinds for figure in kind.figures]
    if options.json:
        print(json.dumps({"met": figures.met(found), "results": figures.document(found)}, indent=2))
    else:
        print(figures.table(found))
        print(f"{costs!r}")
    return 1 if figures.met(found) is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
