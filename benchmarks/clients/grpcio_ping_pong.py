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

from benchmarks.broker_client import BrokerClient
from benchmarks.clients.channels import add_ca, tls_arguments
from benchmarks.gen.bench_pb2 import Ping, Place, Size
from benchmarks.gen.bench_pb2_grpc import MovableStub
from benchmarks.pauses import RoundTrip
from benchmarks.processes import BenchmarkError

#: A move that has not shown after so many seconds never will.
_MOVE_TIMEOUT = 20.0
#: Round trips, and moves, before those that count.
_WARM_UP_TRIPS = 200
_WARM_UP_MOVES = 4


class PingPong:
    """The stream, and the round trips on it so far."""

    def __init__(self, stub: MovableStub, timeout: float) -> None:
        self._pings: SimpleQueue[Ping | None] = SimpleQueue()
        self._places = stub.PingPong(iter(self._pings.get, None), timeout=timeout)
        self.trips: list[RoundTrip] = []

    def trip(self) -> int:
        """Make a round trip. Returns the process that answered."""
        ping = Ping()
        began = perf_counter()
        self._pings.put(ping)
        place: Place = next(self._places)
        self.trips.append((perf_counter() - began, place.pid))
        return place.pid

    def end(self) -> None:
        self._pings.put(None)
        if next(self._places, None) is not None:
            raise ValueError("a reply too many")


def play(
    ping_pong: PingPong, broker: BrokerClient, connection: str, pids: list[int], moves: int, between: int
) -> None:
    """Make ``between`` round trips, have the connection moved in one that follows, and so on."""
    for _ in range(_WARM_UP_TRIPS):
        ping_pong.trip()
    for number in range(_WARM_UP_MOVES + moves):
        if number == _WARM_UP_MOVES:
            ping_pong.trips.clear()
        for _ in range(between):
            pid = ping_pong.trip()
        usual = min(seconds for seconds, _ in ping_pong.trips[-between:])
        broker.ask_to_move(connection, 1 - pids.index(pid))
        _spin(random.uniform(0, usual))
        _await_move(ping_pong, broker, pid)
    for _ in range(between):
        ping_pong.trip()


def _await_move(ping_pong: PingPong, broker: BrokerClient, before: int) -> None:
    """Make round trips until one was answered by another hub."""
    deadline = perf_counter() + _MOVE_TIMEOUT
    while (pid := ping_pong.trip()) == before and not broker.has_said():
        if perf_counter() > deadline:
            raise ValueError("a move did not show in the replies")
    broker.moved()
    if pid == before:  # it was over between two round trips
        pid = ping_pong.trip()
    if pid == before:
        raise ValueError("the hub that has moved the connection still answers")


def _spin(seconds: float) -> None:
    """Wait without sleeping: a core that slept is slower for a while."""
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


def _channel(options: argparse.Namespace) -> grpc.Channel:
    if not options.ca:
        return grpc.insecure_channel(options.address)
    credentials, name = tls_arguments(options.ca)
    return grpc.secure_channel(options.address, credentials, [name])


def run(options: argparse.Namespace) -> list[RoundTrip]:
    with _channel(options) as channel, BrokerClient(options.broker) as broker:
        stub = MovableStub(channel)
        place: Place = stub.Resize(Size(bytes=options.bytes))
        rows = [row for row in broker.connections() if row["peer"] == place.peer]
        if len(rows) != 1:
            raise ValueError(f"{len(rows)} connections come from {place.peer}")
        pids = [hub["pid"] for hub in broker.status()["hubs"]]
        ping_pong = PingPong(stub, options.timeout)
        gc.collect()
        gc.disable()  # its pauses are not the server's
        play(ping_pong, broker, rows[0]["id"], pids, options.moves, options.between)
        ping_pong.end()
        return ping_pong.trips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address")
    parser.add_argument("broker", help="the broker's socket")
    parser.add_argument("--bytes", type=int, default=100, help="how large the actor's state is")
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--between", type=int, default=20, help="round trips from a move to the next")
    parser.add_argument("--timeout", type=float, default=300.0)
    add_ca(parser)
    options = parser.parse_args()
    try:
        trips = run(options)
    except (grpc.RpcError, BenchmarkError, OSError, ValueError) as error:
        sys.exit(f"the ping-pong failed: {error}")
    print(json.dumps(trips))


if __name__ == "__main__":
    main()
