"""Calls under each way of metering, in one process and without system calls: bytes that connections read.

The ways alternate every few milliseconds of CPU, so that whatever else the machine does meets all of them.
Prints JSON: for each load and way, microseconds of CPU per call, a list as long as there were rounds.
"""

# It patches the standard library, so it comes first.
# ruff: noqa: I001

from __future__ import annotations

from benchmarks.servers import metered

import argparse
import json
import socket
from time import thread_time
from typing import Any

import gevent

import actorrpc
from actorrpc.config import Config
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.node import Node
from benchmarks.clients.reports import OPENING, Swallowing, request

#: Calls in each read, and whether their handler blocks.
LOADS = {"ping-pong": (1, False), "pipelined": (32, False), "blocking": (1, True)}

#: Calls before the next way of metering is taken.
_BLOCK = 192

_PATH = "/bench.Echo/Say"


class Replay:
    """Connections of which each reads as many calls at a time, one connection after the other."""

    def __init__(self, in_read: int) -> None:
        self._in_read = in_read
        self._node = Node(actorrpc.App([metered.Echo]), Config())
        self._shared = socket.socket()
        self._turns = 0

    def block(self) -> float:
        """Make calls on a new connection, which is made by the present way. Returns the CPU of one."""
        sock: Any = Swallowing(self._shared)
        connection = Connection(self._node, self._node.resources, sock, "0-1-1", "127.0.0.1:9")
        reads = [
            b"".join(request(2 * number + 1, _PATH) for number in range(first, first + self._in_read))
            for first in range(0, _BLOCK, self._in_read)
        ]
        loop = gevent.get_hub().loop
        loop.run_callback(connection.on_bytes, OPENING)
        gevent.sleep(0)
        began = thread_time()
        for read in reads:
            loop.run_callback(connection.on_bytes, read)
        while connection.schedule.turns < _BLOCK:
            gevent.sleep(0)
        spent = thread_time() - began
        connection.let_go()
        self._node.resources.meter.active.clear()
        return spent / _BLOCK * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, required=True)
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    for name, (in_read, metered._blocking) in LOADS.items():
        replay = Replay(in_read)
        costs = found[name] = {way: [] for way in ("off", "brackets", "switches", "samples")}
        ways = list(costs)
        for number in range(options.rounds):
            turn = number % len(ways)
            for way in ways[turn:] + ways[:turn]:
                metered.meter_by(way)
                replay.block()  # the interpreter adapts to the methods that have been exchanged
                costs[way].append(replay.block())
        metered.meter_by("off")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
