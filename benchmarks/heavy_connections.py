"""Connections that are heavy to move, each in one way: in one process, without a client's.

What comes from a client is fed to the connection as its bytes; what an app keeps is put there. So each has
exactly so many of what it is about, and is made in a second.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame

import actorrpc
from actorrpc.config import Config
from actorrpc.hub.node import Node
from actorrpc.hub.serving.connection import Connection
from benchmarks.gen.bench_actorrpc import MovableBase
from benchmarks.gen.bench_pb2 import Ping, Place, Size
from benchmarks.http2 import PREFACE

__all__ = ["HEAVY_CONNECTIONS", "HeavyConnection"]

_ROOM = 2**30


class Movable(MovableBase):
    """Keeps its calls open, and says nothing on them."""

    def Resize(self, request: Size, call: actorrpc.Call[Place]) -> Place:
        self.state.content = bytes(request.bytes)
        return Place()

    def PingPong(self, message: Ping, call: actorrpc.Call[Place]) -> None:
        pass

    def on_topic(self, topic: str, message: Any) -> None:
        pass


def _user(call: actorrpc.Call[Any]) -> str:
    return str(call.metadata.get("user", ""))


class HeavyConnection:
    """A connection of hub 0, and hub 1, which it may move to."""

    def __init__(self) -> None:
        app = actorrpc.App([Movable], identity=_user)
        config = Config(
            flood_burst=0,
            max_concurrent_streams=100_000,
            max_header_list_bytes=64 * 1024,
            max_mailbox=100_000,
            stream_window_bytes=_ROOM,
            max_stream_window_bytes=_ROOM,
            connection_window_bytes=_ROOM,
            max_connection_window_bytes=_ROOM,
        )
        self.source, self.target = Node(app, config, hub=0), Node(app, config, hub=1)
        for node in (self.source, self.target):
            node.set_homes([node.hub], 1)
        self.client, theirs = socket.socketpair()
        self.client.setblocking(False)
        self.connection = Connection(self.source, self.source.resources, theirs, "0-1-1", "a client")
        self.source._add(self.connection)
        self._stream = -1
        self._feed(PREFACE + SettingsFrame(0).serialize())

    def call(self, *fields: tuple[str, str], method: str = "PingPong", message: bytes | None = None) -> Any:
        """Begin a call, and end its request with a message if there is one."""
        self._stream += 2
        head = [(":method", "POST"), (":scheme", "http"), (":path", f"/bench.Movable/{method}")]
        head += [("te", "trailers"), ("content-type", "application/grpc"), *fields]
        block = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in head)
        data = HeadersFrame(self._stream, block, flags=["END_HEADERS"]).serialize()
        if message is not None:
            data += DataFrame(self._stream, _framed(message), flags=["END_STREAM"]).serialize()
        self._feed(data)
        return self.connection.calls.get(self._stream)

    def send(self, data: bytes) -> None:
        """DATA on the last call."""
        for begin in range(0, len(data), 16_384):
            self._feed(DataFrame(self._stream, data[begin : begin + 16_384]).serialize())

    def message(self, size: int) -> None:
        self.send(_framed(bytes(size)))

    def settle(self) -> None:
        """Let all that waits for the loop come to its end, as far as it can."""
        schedule = self.connection.schedule
        while schedule.work_due or schedule.slice_over:
            gevent.sleep(0)
        with suppress(BlockingIOError):
            while self.client.recv(1 << 20):
                pass

    def on_loop(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a function that only gevent's loop may call."""
        results: list[Any] = []
        gevent.get_hub().loop.run_callback(lambda: results.append(function(*args)))
        while not results:
            gevent.sleep(0)
        return results[0]

    def _feed(self, data: bytes) -> None:
        self.on_loop(self.connection.on_bytes, data)
        self.settle()

    def close(self) -> None:
        self.client.close()
        for node in (self.source, self.target):
            for connection in list(node.connections.values()):
                self.on_loop(connection.close)
            node.close()

    # ---- the kinds

    def state(self, size: int) -> None:
        self.call(method="Resize", message=Size(bytes=size).SerializeToString())

    def calls(self, count: int, fields: int = 0, *, same: bool = True) -> None:
        """Calls, each with so many header fields, of its own or like the others'."""
        for number in range(count):
            own = 0 if same else number
            self.call(*[(f"{at % 100:02}", f"{own * 7 + at:05}") for at in range(fields)])

    def messages(self, count: int, size: int) -> None:
        """Messages of one call that wait for their turns."""
        self.call()
        self.connection.schedule.paused = True
        for _ in range(count):
            self.message(size)

    def incomplete(self, calls: int, size: int) -> None:
        for _ in range(calls):
            self.call()
            self.send(b"\0" + (size + 1).to_bytes(4, "big") + bytes(size))

    def unsent(self, calls: int, size: int) -> None:
        """Replies for which the client opens no window."""
        for _ in range(calls):
            call = self.call()
            for _ in range(size // 16_000 + 1):
                self.on_loop(call.send, Place(peer="x" * min(size, 16_000)))

    def users(self, count: int, calls: int = 0) -> None:
        for number in range(count):
            self.call(("user", f"user {number}"), method="Resize", message=b"")
        for number in range(calls):
            self.call(("user", f"user {number % count}"))

    def subscriptions(self, count: int) -> None:
        self.state(1)
        (cell,) = self.connection.cells.values()
        for number in range(count):
            self.on_loop(cell.instance.subscribe, f"topic {number}")
        self.settle()

    def notes(self, calls: int, entries: int) -> None:
        for _ in range(calls):
            self.call().context.update({f"key {at}": "a value" for at in range(entries)})

    def metadata(self, calls: int, fields: int) -> None:
        for _ in range(calls):
            self.call().set_trailing_metadata({f"key-{at}": "a value" for at in range(fields)})


#: How they are called, and how they are made.
HEAVY_CONNECTIONS: dict[str, Callable[[HeavyConnection], None]] = {
    "a state of 16 kB": lambda heavy: heavy.state(16_000),
    "a state of 1 MB": lambda heavy: heavy.state(1_000_000),
    "a state of 16 MB": lambda heavy: heavy.state(16_000_000),
    "1,000 calls": lambda heavy: heavy.calls(1000),
    "1,000 calls, 40 fields, all the same": lambda heavy: heavy.calls(1000, 40),
    "1,000 calls, 40 fields of their own": lambda heavy: heavy.calls(1000, 40, same=False),
    "1,000 calls, 440 fields of their own": lambda heavy: heavy.calls(1000, 440, same=False),
    "5,000 calls": lambda heavy: heavy.calls(5000),
    "10,000 messages of 0 B": lambda heavy: heavy.messages(10_000, 0),
    "10,000 messages of 1 kB": lambda heavy: heavy.messages(10_000, 1000),
    "100 incomplete messages of 64 kB": lambda heavy: heavy.incomplete(100, 64_000),
    "100 × 64 kB that are unsent": lambda heavy: heavy.unsent(100, 64_000),
    "1,000 users": lambda heavy: heavy.users(1000),
    "1,000 users with 1,000 calls": lambda heavy: heavy.users(1000, 1000),
    "4,000 subscriptions": lambda heavy: heavy.subscriptions(4000),
    "20 notes on each of 1,000 calls": lambda heavy: heavy.notes(1000, 20),
    "20 trailing fields on 1,000 calls": lambda heavy: heavy.metadata(1000, 20),
}


def _literal(text: str) -> bytes:
    """A string literal (RFC 7541, 5.2) of less than 127 bytes."""
    return bytes((len(text),)) + text.encode()


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message
