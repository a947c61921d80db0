"""What one report of a hub takes, of many connections of which some are active.

No client, in fact: a hub with nothing but connections, whose sockets swallow what they are sent.

Prints JSON: ``seconds``, the CPU of each report, and ``bytes``, the size of the last.
"""

from __future__ import annotations

import argparse
import json
import socket
from functools import cache
from statistics import mean
from time import thread_time
from typing import Any

import gevent
from hyperframe.frame import SettingsFrame

import actorrpc
from actorrpc.config import Config
from actorrpc.hub.node import Node
from actorrpc.hub.serving.connection import Connection
from benchmarks.clients.raw import Method
from benchmarks.gen.bench_actorrpc import CounterBase
from benchmarks.gen.bench_pb2 import Count, Note
from benchmarks.http2 import PREFACE

#: What a client sends before its first call.
OPENING = PREFACE + SettingsFrame(0).serialize()


@cache
def _method(path: str) -> Method:
    return Method(path, Note(number=7).SerializeToString())


class Counter(CounterBase):
    def Add(self, request: Note, call: actorrpc.Call[Count]) -> Count:
        self.state.calls += 1
        return self.state


class Swallowing:
    """As much of a socket as a connection needs. All share one descriptor, which nobody watches."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, data: bytes) -> int:
        return len(data)

    def close(self) -> None:
        pass


def request(stream: int, path: str = "/bench.Counter/Add") -> bytes:
    """A call as a client sends it, with a header block that needs no table."""
    return _method(path).on(stream)


def deliver(connection: Connection, data: bytes) -> None:
    """Have it read the bytes when the loop comes round."""
    gevent.get_hub().loop.run_callback(connection.on_bytes, data)


def until_turns(node: Node, count: int) -> None:
    while node.resources.turns < count:
        gevent.sleep(0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--active", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    options = parser.parse_args()
    node = Node(actorrpc.App([Counter]), Config())
    opening = OPENING + request(1)
    shared = socket.socket()
    for number in range(options.connections):
        sock: Any = Swallowing(shared)
        connection = Connection(node, node.resources, sock, f"0-1-{number}", "127.0.0.1:9")
        node.connections[connection.id] = connection
        deliver(connection, opening)
    until_turns(node, options.connections)
    node.report()
    active = list(node.connections.values())[: options.active]
    seconds = []
    size = 0
    for number in range(options.rounds):
        for connection in active:
            deliver(connection, request(3 + 2 * number))
        until_turns(node, options.connections + options.active * (number + 1))
        began = thread_time()
        size = len(node.report().SerializeToString())
        seconds.append(thread_time() - began)
    # A mean over ten, as now and then one takes a list of all.
    print(
        json.dumps(
            {"seconds": [mean(seconds[at : at + 10]) for at in range(0, len(seconds), 10)], "bytes": size}
        )
    )


if __name__ == "__main__":
    main()
