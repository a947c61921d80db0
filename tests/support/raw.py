"""Bytes as no well-behaved client sends them: frames and header blocks by hand, from the RFCs alone."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)

Fields = Iterable[tuple[str | bytes, str | bytes]]
#: Type, flags, stream and payload.
Frame = tuple[int, int, int, bytes]


def frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of any type, whether or not it makes sense (RFC 9113, 4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((type_, flags)) + struct.pack(">I", stream) + payload


def frames(data: bytes | bytearray) -> Iterator[Frame]:
    """Each frame of ``data``, which must hold whole frames."""
    splitter = Splitter()
    yield from splitter.split(data)
    assert not splitter.rest, "a frame that is not whole"


class Splitter:
    """The frames of what comes in pieces. ``rest`` is the beginning of the next one."""

    def __init__(self) -> None:
        self.rest = b""

    def split(self, data: bytes | bytearray) -> Iterator[Frame]:
        """Those that are whole by now; all must be taken."""
        data = self.rest + bytes(data)
        begin = 0
        while len(data) - begin >= 9:
            end = begin + 9 + int.from_bytes(data[begin : begin + 3], "big")
            if len(data) < end:
                break
            stream = int.from_bytes(data[begin + 5 : begin + 9], "big")
            yield data[begin + 3], data[begin + 4], stream, data[begin + 9 : end]
            begin = end
        self.rest = data[begin:]


def literal(text: str | bytes) -> bytes:
    """A string literal, not Huffman-coded (RFC 7541, 5.2)."""
    raw = text.encode("latin-1") if isinstance(text, str) else text
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    size, rest = b"\x7f", len(raw) - 127
    while rest > 127:
        size += bytes((rest & 127 | 128,))
        rest >>= 7
    return size + bytes((rest,)) + raw


def huffman(text: bytes) -> bytes:
    """A string literal, Huffman-coded (RFC 7541, 5.2)."""
    code = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    length = literal(code)[: -len(code)]
    return bytes((length[0] | 0x80,)) + length[1:] + code


def block(fields: Fields) -> bytes:
    """A header block of literals that no table keeps (RFC 7541, 6.2.2)."""
    return b"".join(b"\0" + literal(name) + literal(value) for name, value in fields)


def request(method: str, *extra: tuple[str, str]) -> list[tuple[str, str]]:
    """The header list of a call of ``/test.Test/{method}``."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/test.Test/{method}"),
        (":authority", "test"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *extra,
    ]


def headers(stream: int, fields: Fields, flags: int = END_HEADERS) -> bytes:
    """A HEADERS frame."""
    return frame(HEADERS, flags, stream, block(fields))


def long_headers(stream: int, block: bytes, flags: int = 0) -> bytes:
    """HEADERS with as many CONTINUATION frames as the block needs, and at least one (RFC 9113, 4.3)."""
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    return (
        frame(HEADERS, flags, stream, parts[0])
        + b"".join(frame(CONTINUATION, 0, stream, part) for part in parts[1:])
        + frame(CONTINUATION, END_HEADERS, stream)
    )


def message(payload: bytes, flags: int = 0) -> bytes:
    """A message as gRPC frames it (PROTOCOL-HTTP2, "Length-Prefixed-Message")."""
    return bytes((flags,)) + struct.pack(">I", len(payload)) + payload


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A DATA frame."""
    return frame(DATA, flags, stream, payload)


def settings(*values: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in values))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


#: What a client begins with.
OPEN = PREFACE + settings()
