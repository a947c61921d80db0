"""What client and server said to each other in HTTP/2, heard by a proxy between them.

No client tells its caller whether a message came compressed; the Compressed-Flag on the wire does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import hpack

from tests.support import raw
from tests.support.proxy import Proxy, proxied

__all__ = ["Direction", "Wiretap", "wiretap"]


class Direction:
    """What one side of a connection has sent so far."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def frames(self) -> list[raw.Frame]:
        """All complete frames, without padding or priority."""
        return [_bare(*frame) for frame in raw.Splitter().split(self._data.removeprefix(raw.PREFACE))]

    def compressed_flags(self) -> list[int]:
        """The Compressed-Flag of each message, stream after stream."""
        streams: dict[int, bytes] = {}
        for type_, _, stream, payload in self.frames():
            if type_ == raw.DATA:
                streams[stream] = streams.get(stream, b"") + payload
        return [flag for _, data in sorted(streams.items()) for flag in _flags(data)]

    def headers(self) -> list[dict[str, str]]:
        """Each header block, in the order in which they came."""
        decoder, block, blocks = hpack.Decoder(), b"", []
        for type_, flags, _, payload in self.frames():
            if type_ in (raw.HEADERS, raw.CONTINUATION):
                block += payload
                if flags & raw.END_HEADERS:
                    blocks.append({str(name): str(value) for name, value in decoder.decode(block)})
                    block = b""
        return blocks


class Wiretap:
    """``address`` is the proxy's, for a client to connect to."""

    def __init__(self, proxy: Proxy) -> None:
        self.address = proxy.address
        self._proxy = proxy

    @property
    def connections(self) -> list[tuple[Direction, Direction]]:
        """Those that have come so far: client, server."""
        return [(Direction(client), Direction(server)) for client, server in self._proxy.connections]

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


@contextmanager
def wiretap(server: str) -> Iterator[Wiretap]:
    """Listen in on all that connect to the result's ``address``. They must have gone at the block's end."""
    with proxied(server) as proxy:
        yield Wiretap(proxy)


def _bare(type_: int, flags: int, stream: int, payload: bytes) -> raw.Frame:
    if flags & raw.PADDED and type_ in (raw.DATA, raw.HEADERS):
        payload = payload[1 : len(payload) - payload[0]]
    if flags & raw.HAS_PRIORITY and type_ == raw.HEADERS:
        payload = payload[5:]
    return type_, flags, stream, payload


def _flags(data: bytes) -> Iterator[int]:
    position = 0
    while position + 5 <= len(data):
        yield data[position]
        position += 5 + int.from_bytes(data[position + 1 : position + 5], "big")
