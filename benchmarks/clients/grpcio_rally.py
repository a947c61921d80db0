"""A grpcio client: ping-pong on one stream, whose connection it has moved between two hubs meanwhile.

The round trip during which a move is asked for begins a random moment later, so that the move may meet it
anywhere. The next move waits until a reply has come from the other hub, and for some round trips more.

Prints JSON, a list of round trips as [SECONDS, PID]: how long it took, and which process sent the reply.
Exits with status 1 and a line on stderr if a call or a move fails.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
from queue import SimpleQueue
from time import perf_counter

import grpc

from benchmarks.broker import Broker
from benchmarks.gen.bench_pb2 import Ball, Place, Size
from benchmarks.gen.bench_pb2_grpc import TravellerStub
from benchmarks.processes import BenchmarkError
from benchmarks.trips import Trip

#: A move that has not shown after so many seconds never will.
_MOVE_TIMEOUT = 20.0
#: Round trips, and moves, before those that count.
_WARM_UP_TRIPS = 200
_WARM_UP_MOVES = 4


class Rally:
    """The stream, and the round trips on it so far."""

    def __init__(self, stub: TravellerStub, timeout: float) -> None:
        self._balls: SimpleQueue[Ball | None] = SimpleQueue()
        self._places = stub.Rally(iter(self._balls.get, None), timeout=timeout)
        self.trips: list[Trip] = []

    def trip(self) -> int:
        """Make a round trip. Returns the process that answered."""
        ball = Ball()
        began = perf_counter()
        self._balls.put(ball)
        place: Place = next(self._places)
        self.trips.append((perf_counter() - began, place.pid))
        return place.pid

    def end(self) -> None:
        self._balls.put(None)
        if next(self._places, None) is not None:
            raise ValueError("a reply too many")


def play(rally: Rally, broker: Broker, connection: str, pids: list[int], moves: int, between: int) -> None:
    """Make ``between`` round trips, have the connection moved in one that follows, and so on."""
    for _ in range(_WARM_UP_TRIPS):
        rally.trip()
    for number in range(_WARM_UP_MOVES + moves):
        if number == _WARM_UP_MOVES:
            rally.trips.clear()
        for _ in range(between):
            pid = rally.trip()
        usual = min(seconds for seconds, _ in rally.trips[-between:])
        broker.ask_to_move(connection, 1 - pids.index(pid))
        _spin(random.uniform(0, usual))
        _await_move(rally, broker, pid)
    for _ in range(between):
        rally.trip()


def _await_move(rally: Rally, broker: Broker, before: int) -> None:
    """Make round trips until one was answered by another hub."""
    deadline = perf_counter() + _MOVE_TIMEOUT
    while (pid := rally.trip()) == before and not broker.has_said():
        if perf_counter() > deadline:
            raise ValueError("a move did not show in the replies")
    broker.moved()
    if pid == before:  # it was over between two round trips
        pid = rally.trip()
    if pid == before:
        raise ValueError("the hub that has moved the connection still answers")


def _spin(seconds: float) -> None:
    """Wait without sleeping: a core that slept is slower for a while."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def run(options: argparse.Namespace) -> list[Trip]:
    with grpc.insecure_channel(options.address) as channel, Broker(options.broker) as broker:
        stub = TravellerStub(channel)
        place: Place = stub.Pack(Size(bytes=options.bytes))
        rows = [row for row in broker.connections() if row["peer"] == place.peer]
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} connections come from {place.peer}")
        pids = [hub["pid"] for hub in broker.status()["hubs"]]
        rally = Rally(stub, options.timeout)
        gc.collect()
        gc.disable()  # its pauses are not the server's
        play(rally, broker, rows[0]["id"], pids, options.moves, options.between)
        rally.end()
        return rally.trips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("broker", help="the broker's socket")
    parser.add_argument("--bytes", type=int, default=100, help="how large the actor's state is")
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--between", type=int, default=20, help="round trips from a move to the next")
    parser.add_argument("--timeout", type=float, default=300.0)
    options = parser.parse_args()
    try:
        trips = run(options)
    except (grpc.RpcError, BenchmarkError, OSError, ValueError) as error:
        sys.exit(f"the rally failed: {error}")
    print(json.dumps(trips))


if __name__ == "__main__":
    main()
