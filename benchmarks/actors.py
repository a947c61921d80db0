"""What calls between keyed actors cost: within a hub, between hubs, and to make an actor.

    python -m benchmarks.actors

Beside them, in the same run: a call over the network to the same process, Pykka (threads) and xoscar
(asyncio) if they are installed, and what nothing can be faster than: the switch to a greenlet and back, the
work on the messages, and a round trip over a Unix socket between two processes. README.md says more.

Exit status: 0 if the goals are met, 1 if not, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, process_time

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

import grpc
from greenlet import getcurrent, greenlet

from actorrpc.broker.host.runtime_dir import RuntimeDir
from benchmarks.accounting import cpu_seconds, memory_bytes
from benchmarks.broker_client import BrokerClient
from benchmarks.figures import Figure, document, met, table
from benchmarks.gen.bench_pb2 import Count, Note, Took, Trip
from benchmarks.gen.bench_pb2_grpc import TallyStub, TravellerStub
from benchmarks.loads import LOADS, check_tools
from benchmarks.processes import BenchmarkError, Cores, end_on_sigterm, python, run, server

_PATIENCE = 120.0


def figures() -> dict[str, Figure]:
    """All that is measured, by name, with what is to be reached."""
    found = [
        Figure("inside", "a call to an actor of the same hub", "µs of CPU", 10.0),
        Figure("share", "  as a part of a call over the network", "", 0.5),
        Figure("network", "a call over the network, 50 × 1", "µs of CPU"),
        Figure("across", "a call to an actor of another hub", "µs"),
        Figure("across_p99", "  which 99 of 100 do not exceed", "µs"),
        Figure("trips", "  in round trips over a Unix socket", "", 4.0),
        Figure("activations", "actors made, by a client's calls", "a second", 5000.0, at_least=True),
        Figure("memory", "an idle keyed actor", "bytes", 4096.0),
        Figure("switch", "a greenlet switch, and back", "µs of CPU"),
        Figure("messages", "the work on request and reply", "µs of CPU"),
        Figure("socket", "a round trip over a Unix socket", "µs"),
        Figure("pykka", "Pykka: a call between two threads", "µs of CPU"),
        Figure("xoscar", "xoscar: a call between two actors", "µs of CPU"),
    ]
    return {figure.key: figure for figure in found}


Figures = dict[str, Figure]


def _call(stub: TallyStub | TravellerStub, method: str, key: str, message: Note | Trip) -> Count | Took:
    reply: Count | Took = getattr(stub, method)(message, metadata=[("actor-key", key)], timeout=_PATIENCE)
    return reply


@contextmanager
def _hubs(count: int, core: int | None) -> Iterator[tuple[str, BrokerClient]]:
    with (
        TemporaryDirectory(prefix="actorrpc-benchmark-") as folder,
        server("keyed_hubs", core, folder, "--hubs", str(count)) as running,
        BrokerClient(RuntimeDir(folder).socket_path) as broker,
    ):
        yield running.address, broker


def within_a_hub(found: Figures, calls: int, actors: int) -> None:
    """One hub: calls between its actors, calls over the network, and how fast actors are made."""
    cores = Cores.choose()
    with _hubs(1, cores.server) as (address, broker), grpc.insecure_channel(address) as channel:
        traveller, tally = TravellerStub(channel), TallyStub(channel)
        pid = broker.status()["hubs"][0]["pid"]
        _call(traveller, "Go", "t", Trip(key="here", calls=calls // 10))
        took = _call(traveller, "Go", "t", Trip(key="here", calls=calls))
        assert isinstance(took, Took)
        inside = took.cpu / calls * 1e6
        found["inside"].rounds.append(inside)
        load = LOADS[0]
        load.run(address, calls // 5, cores.client)
        before = cpu_seconds(pid)
        load.run(address, calls, cores.client)
        network = (cpu_seconds(pid) - before) / calls * 1e6
        found["network"].rounds.append(network)
        found["share"].rounds.append(inside / network)
        _activations(found, tally, pid, actors)


def _activations(found: Figures, tally: TallyStub, pid: int, actors: int) -> None:
    for number in range(100):
        _call(tally, "Add", f"warm {number}", Note())
    memory, cpu = memory_bytes(pid), cpu_seconds(pid)
    waiting = []
    for number in range(actors):
        waiting.append(tally.Add.future(Note(), metadata=[("actor-key", f"n{number}")], timeout=_PATIENCE))
        if len(waiting) == 100:
            for each in waiting:
                each.result()
            waiting.clear()
    for each in waiting:
        each.result()
    spent = cpu_seconds(pid) - cpu
    found["activations"].rounds.append(actors / spent)
    found["memory"].rounds.append((memory_bytes(pid) - memory) / actors)


def between_hubs(found: Figures, calls: int) -> None:
    """Two hubs: how long a call from the one to the other takes."""
    with _hubs(2, None) as (address, broker), grpc.insecure_channel(address) as channel:
        traveller = TravellerStub(channel)
        _call(traveller, "Go", "t", Trip(key="there", calls=10))
        where = {row["key"]: row["hub"] for row in broker.actors()}
        if where["t"] == where["there"]:
            broker.ask_to_move("bench.Tally/there", 1 - where["there"])
            broker.moved()
        _call(traveller, "Go", "t", Trip(key="there", calls=calls // 10))
        took = _call(traveller, "Go", "t", Trip(key="there", calls=calls))
        assert isinstance(took, Took)
        each = sorted(took.each)
        found["trips"].rounds.append(each[len(each) // 2] * 1e6 / found["socket"].rounds[-1])
        found["across"].rounds.append(each[len(each) // 2] * 1e6)
        found["across_p99"].rounds.append(each[len(each) * 99 // 100] * 1e6)


# ---- floors


def floors(found: Figures, count: int) -> None:
    found["switch"].rounds.append(_switches(count))
    found["messages"].rounds.append(_messages(count))
    found["socket"].rounds.append(_round_trip(count // 10))


def _timed(count: int, function: Callable[[], object]) -> float:
    began = process_time()
    for _ in range(count):
        function()
    return (process_time() - began) / count * 1e6


def _switches(count: int) -> float:
    parent = getcurrent()

    def run_for_ever() -> None:
        while True:
            parent.switch()

    return _timed(count, greenlet(run_for_ever).switch)


def _messages(count: int) -> float:
    note, reply = Note(number=7, text="hello"), Count(calls=12345)

    def work() -> None:
        Note.FromString(note.SerializeToString())
        Count.FromString(reply.SerializeToString())

    return _timed(count, work)


def _round_trip(count: int) -> float:
    """The median, in microseconds."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if not child:
        ours.close()
        while data := theirs.recv(64):
            theirs.send(data)
        os._exit(0)
    theirs.close()
    times = []
    for _ in range(count):
        began = monotonic()
        ours.send(b"x" * 32)
        ours.recv(64)
        times.append(monotonic() - began)
    ours.close()
    os.waitpid(child, 0)
    return median(times) * 1e6


# ---- peers


def peers(found: Figures, calls: int) -> None:
    """What is installed of them."""
    for name in ("pykka", "xoscar"):
        try:
            told = json.loads(run(python(f"benchmarks.peers.{name}_calls", str(calls)), timeout=_PATIENCE))
        except BenchmarkError as error:
            if "No module named" not in str(error):
                raise
        else:
            found[name].rounds.append(told["cpu"] / calls * 1e6)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured (default 5)")
    parser.add_argument("--calls", type=int, default=20_000, help="calls of each kind and round (20000)")
    parser.add_argument("--actors", type=int, default=10_000, help="actors that are made in a round (10000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    end_on_sigterm()
    found = figures()
    try:
        check_tools([LOADS[0]])
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            floors(found, options.calls)
            within_a_hub(found, options.calls, options.actors)
            between_hubs(found, options.calls)
            peers(found, options.calls)
    except BenchmarkError as error:
        print(f"actors: {error}", file=sys.stderr)
        return 2
    measured = [figure for figure in found.values() if figure.rounds]
    print(json.dumps(document(measured), indent=2) if options.json else table(measured, ""))
    return int(not met(measured))


if __name__ == "__main__":
    sys.exit(main())
