"""As much of HTTP/2 as it takes to read a conversation and to repeat it (RFC 9113).

Written for the benchmarks alone: what measures actorrpc should not rely on actorrpc's own session.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["ACK", "END_HEADERS", "END_STREAM", "PREFACE", "Frame", "Type", "split"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

ACK = 0x1  # of SETTINGS and PING
END_STREAM = 0x1  # of DATA and HEADERS
END_HEADERS = 0x4


class Type:
    """Frame types (RFC 9113, 6)."""

    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8


class Frame(NamedTuple):
    type: int
    flags: int
    stream: int
    payload: bytes

    def to_bytes(self) -> bytes:
        head = len(self.payload).to_bytes(3, "big") + bytes((self.type, self.flags))
        return head + self.stream.to_bytes(4, "big") + self.payload


def split(data: bytes) -> Iterator[Frame]:
    """The complete frames of ``data``, which begins with one; an incomplete one at its end is left out."""
    position = 0
    while len(data) - position >= 9:
        end = position + 9 + int.from_bytes(data[position : position + 3], "big")
        if end > len(data):
            return
        stream = int.from_bytes(data[position + 5 : position + 9], "big") & 0x7FFF_FFFF
        yield Frame(data[position + 3], data[position + 4], stream, data[position + 9 : end])
        position = end
