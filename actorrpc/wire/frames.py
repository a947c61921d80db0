"""HTTP/2 frames as bytes: the numbers of RFC 9113 and how control frames are written."""

from __future__ import annotations

import struct

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "FRAME_HEADER",
    "GOAWAY",
    "HEADERS",
    "INITIAL_WINDOW",
    "LARGEST_FRAME",
    "MAX_FRAME_SIZE",
    "MAX_WINDOW",
    "PADDED",
    "PING",
    "PREFACE",
    "PRIORITY",
    "PRIORITY_FLAG",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "ErrorCode",
    "Setting",
    "frame",
    "goaway",
    "header_frames",
    "rst_stream",
    "settings",
    "window_update",
]

#: What a client sends first (RFC 9113, 3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

#: Length and, in the lowest byte of the same number, type; flags; stream (RFC 9113, 4.1).
FRAME_HEADER = struct.Struct(">LBL")

# Frame types (RFC 9113, 6).
DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

# Flags. ACK and END_STREAM share a bit, on different types.
ACK = 0x1
END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FLAG = 0x20

#: SETTINGS_MAX_FRAME_SIZE: the default, which is also the least that is allowed, and the most (RFC 9113,
#: 6.5.2). Ours is the default.
MAX_FRAME_SIZE = 16_384
LARGEST_FRAME = 16_777_215

#: The size of each flow-control window at the beginning, by default (RFC 9113, 6.9.2).
INITIAL_WINDOW = 65_535

#: A flow-control window never grows beyond this (RFC 9113, 6.9.1).
MAX_WINDOW = 2**31 - 1


class ErrorCode:
    """HTTP/2 error codes (RFC 9113, 7) that mean something here: plain numbers, since a peer may send any."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    ENHANCE_YOUR_CALM = 0xB


class Setting:
    """SETTINGS identifiers (RFC 9113, 6.5.2)."""

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6


def frame(type_: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame. The caller sees to it that ``payload`` fits the peer's SETTINGS_MAX_FRAME_SIZE."""
    return FRAME_HEADER.pack(len(payload) << 8 | type_, flags, stream) + payload


def header_frames(stream: int, block: bytes, *, end_stream: bool, max_frame_size: int) -> bytes:
    """A header block as HEADERS and as many CONTINUATION frames as it needs (RFC 9113, 4.3)."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_frame_size:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [frame(HEADERS, flags, stream, block[:max_frame_size])]
    for start in range(max_frame_size, len(block), max_frame_size):
        last = start + max_frame_size >= len(block)
        part = block[start : start + max_frame_size]
        parts.append(frame(CONTINUATION, END_HEADERS if last else 0, stream, part))
    return b"".join(parts)


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame (RFC 9113, 6.5)."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", key, value) for key, value in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame (RFC 9113, 6.9)."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int) -> bytes:
    """A RST_STREAM frame (RFC 9113, 6.4)."""
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def goaway(last_stream: int, code: int, debug: bytes = b"") -> bytes:
    """A GOAWAY frame (RFC 9113, 6.8)."""
    return frame(GOAWAY, 0, 0, last_stream.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)
