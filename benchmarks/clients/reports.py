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
from hpack import Encoder, NeverIndexedHeaderTuple

import actorrpc
from actorrpc.config import Config
from actorrpc.hub.node import Node
from actorrpc.hub.serving.connection import Connection
from benchmarks.gen.bench_actorrpc import CounterBase
from benchmarks.gen.bench_pb2 import Count, Note
from benchmarks.http2 import END_HEADERS, END_STREAM, PREFACE, Frame, Type

#: What a client sends before its first call.
OPENING = PREFACE + Frame(Type.SETTINGS, 0, 0, b"").to_bytes()


@cache
def _block(path: str) -> bytes:
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "hub"),
        ("content-type", "application/grpc"), ("te", "trailers"),
    ]  # fmt: skip
    return Encoder().encode([NeverIndexedHeaderTuple(*field) for field in fields])


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
    message = Note(number=7).SerializeToString()
    headers = Frame(Type.HEADERS, END_HEADERS, stream, _block(path))
    body = b"\0" + len(message).to_bytes(4, "big") + message
    return headers.to_bytes() + Frame(Type.DATA, END_STREAM, stream, body).to_bytes()


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
