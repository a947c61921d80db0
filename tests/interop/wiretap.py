"""A TCP proxy that shows what client and server said to each other.

No client tells its caller whether a message came compressed; the Compressed-Flag on the wire does.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import hpack
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame

from actorrpc.net.addresses import parse_address
from benchmarks.http2 import PREFACE, split


class Direction:
    """What one side of a connection has sent."""

    def __init__(self) -> None:
        self.data = b""

    def frames(self) -> list[Frame]:
        """All complete frames."""
        return split(self.data.removeprefix(PREFACE))[0]

    def compressed_flags(self) -> list[int]:
        """The Compressed-Flag of each message, stream after stream."""
        streams: dict[int, bytes] = {}
        for frame in self.frames():
            if isinstance(frame, DataFrame):
                streams[frame.stream_id] = streams.get(frame.stream_id, b"") + frame.data
        return [flag for _, data in sorted(streams.items()) for flag in _flags(data)]

    def headers(self) -> list[dict[str, str]]:
        """Each header block, in the order in which they came."""
        decoder, block, blocks = hpack.Decoder(), b"", []
        for frame in self.frames():
            if isinstance(frame, (HeadersFrame, ContinuationFrame)):
                block += frame.data
                if "END_HEADERS" in frame.flags:
                    blocks.append({str(name): str(value) for name, value in decoder.decode(block)})
                    block = b""
        return blocks


class Wiretap:
    """``address`` is the proxy's, for a client to connect to; ``connections`` are (client, server)."""

    def __init__(self, listener: socket.socket, server: str) -> None:
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.connections: list[tuple[Direction, Direction]] = []
        self._listener = listener
        self._server = server
        self._threads: list[Thread] = []

    def request_flags(self) -> list[int]:
        return [flag for client, _ in self.connections for flag in client.compressed_flags()]

    def reply_flags(self) -> list[int]:
        return [flag for _, server in self.connections for flag in server.compressed_flags()]

    def accepted_encodings(self) -> set[str]:
        """What the clients say that they can decode."""
        offers = [
            head.get("grpc-accept-encoding", "")
            for client, _ in self.connections
            for head in client.headers()
        ]
        return {name.strip() for offer in offers for name in offer.split(",")} - {""}

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # the listener was shut down
                break
            sides = (Direction(), Direction())
            self.connections.append(sides)
            upstream = socket.create_connection(parse_address(self._server))
            thread = Thread(target=_forward, args=(client, upstream, *sides))
            self._threads.append(thread)
            thread.start()
        for thread in self._threads:
            thread.join()


@contextmanager
def wiretap(server: str) -> Iterator[Wiretap]:
    """Listen in on all that connect to the result's ``address``. They must have gone at the block's end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tap = Wiretap(listener, server)
        acceptor = Thread(target=tap._accept)
        acceptor.start()
        try:
            yield tap
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()


def _forward(client: socket.socket, upstream: socket.socket, sent: Direction, answered: Direction) -> None:
    """Pass bytes on, each only once it is kept, until one side closes."""
    with client, upstream:
        ways = {client: (upstream, sent), upstream: (client, answered)}
        try:
            while True:
                for source in select.select(list(ways), [], [])[0]:
                    target, kept = ways[source]
                    data = source.recv(65536)
                    if not data:
                        return
                    kept.data += data
                    target.sendall(data)
        except OSError:
            pass  # one side reset the connection: so it is closed


def _flags(data: bytes) -> Iterator[int]:
    position = 0
    while position + 5 <= len(data):
        yield data[position]
        position += 5 + int.from_bytes(data[position + 1 : position + 5], "big")
