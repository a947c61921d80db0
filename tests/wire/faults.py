"""Each frame type in each bad form, and the answer that RFC 9113 asks for."""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.config import Config
from tests.support.raw import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    OPEN,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    data,
    frame,
    headers,
    message,
    request,
    settings,
    window_update,
)

# Error codes (RFC 9113, 7).
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x7, 0x9, 0xB


CONFIG = Config()


@dataclass(frozen=True)
class Fault:
    """``bad`` comes after ``before``. The answer: GOAWAY with ``goaway``, or RST_STREAM, or nothing."""

    name: str
    before: bytes
    bad: bytes
    goaway: int | None = None
    reset: tuple[int, int] | None = None
    config: Config = CONFIG

    def __str__(self) -> str:
        return self.name


SILENT = request("Silent")
#: Stream 1 is open; the client has half-closed it; the client has reset it.
CALL = OPEN + headers(1, SILENT)
HALF_CLOSED = OPEN + headers(1, SILENT, END_HEADERS | END_STREAM)
CLOSED = CALL + frame(RST_STREAM, 0, 1, b"\0\0\0\x08")
#: Both sides have ended it; the server has, early; the server has reset it.
SERVED = OPEN + headers(1, request("Unary"), END_HEADERS | END_STREAM)
EARLY = OPEN + headers(1, request("Fail"))
RESET = CALL + window_update(1, 0)
LATE_TRAILERS = headers(1, [("x-sum", "1")], END_HEADERS | END_STREAM)
#: A header block of stream 1 has begun.
IN_BLOCK = OPEN + headers(1, SILENT, 0)

#: Messages that nobody takes, more than any of these windows.
SMALL = Config(stream_window_bytes=65_535, connection_window_bytes=200_000)
SMALLER = Config(stream_window_bytes=200_000, connection_window_bytes=65_535)
HELD = OPEN + headers(1, request("Hold"))
FLOOD = data(1, message(bytes(16_379))) * 20

MOST = 2**31 - 1


def _goaway(code: int, *rows: tuple[str, bytes, bytes]) -> list[Fault]:
    return [Fault(name, before, bad, goaway=code) for name, before, bad in rows]


def _reset(code: int, *rows: tuple[str, bytes, bytes]) -> list[Fault]:
    return [Fault(name, before, bad, reset=(1, code)) for name, before, bad in rows]


def _nothing(*rows: tuple[str, bytes, bytes]) -> list[Fault]:
    return [Fault(name, before, bad) for name, before, bad in rows]


FAULTS = [
    *_goaway(
        PROTOCOL_ERROR,
        ("DATA on stream 0", CALL, data(0, b"x")),
        ("DATA on an idle stream", CALL, data(3, b"x")),
        ("DATA on a stream of the server's", CALL + headers(5, SILENT), data(2, b"x")),
        ("DATA padded beyond its end", CALL, data(1, b"\x04abc", PADDED)),
        ("DATA of padding length only", CALL, data(1, b"\x01", PADDED)),
        ("DATA on a stream that was not begun, nor a later one", OPEN, data(1, b"x")),
        ("DATA as the first frame", PREFACE, data(1, b"x")),
        ("HEADERS on stream 0", OPEN, headers(0, SILENT)),
        ("HEADERS on a stream of the server's", OPEN, headers(2, SILENT)),
        ("HEADERS of a request on a stream that was skipped", OPEN + headers(3, SILENT), headers(1, SILENT)),
        ("HEADERS of a request on a closed stream", CLOSED, headers(1, SILENT)),
        ("HEADERS padded beyond its end", OPEN, frame(HEADERS, PADDED | END_HEADERS, 1, b"\x05abcd")),
        ("HEADERS as the first frame", PREFACE, headers(1, SILENT)),
        ("PRIORITY on stream 0", OPEN, frame(PRIORITY, 0, 0, bytes(5))),
        ("RST_STREAM on stream 0", OPEN, frame(RST_STREAM, 0, 0, bytes(4))),
        ("RST_STREAM on an idle stream", CALL, frame(RST_STREAM, 0, 3, bytes(4))),
        (
            "RST_STREAM on a stream of the server's",
            CALL + headers(5, SILENT),
            frame(RST_STREAM, 0, 2, bytes(4)),
        ),
        ("SETTINGS on a stream", CALL, frame(SETTINGS, 0, 1)),
        ("SETTINGS: ENABLE_PUSH of 2", OPEN, settings((ENABLE_PUSH, 2))),
        ("SETTINGS: MAX_FRAME_SIZE too small", OPEN, settings((MAX_FRAME_SIZE, 16_383))),
        ("SETTINGS: MAX_FRAME_SIZE too large", OPEN, settings((MAX_FRAME_SIZE, 1 << 24))),
        (
            "SETTINGS: the acknowledgement as the first frame",
            PREFACE,
            frame(SETTINGS, ACK, 0) + frame(PING, 0, 0, bytes(8)),
        ),
        ("PUSH_PROMISE", CALL, frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(SILENT))),
        ("PING on a stream", CALL, frame(PING, 0, 1, bytes(8))),
        ("GOAWAY on a stream", CALL, frame(GOAWAY, 0, 1, bytes(8))),
        ("WINDOW_UPDATE of 0 on the connection", OPEN, window_update(0, 0)),
        ("WINDOW_UPDATE of 0, but for the reserved bit", OPEN, window_update(0, 1 << 31)),
        ("WINDOW_UPDATE on an idle stream", CALL, window_update(3, 1)),
        ("WINDOW_UPDATE on a stream of the server's", CALL + headers(5, SILENT), window_update(2, 1)),
        ("CONTINUATION of nothing", CALL, frame(CONTINUATION, END_HEADERS, 1)),
        ("CONTINUATION on stream 0", IN_BLOCK, frame(CONTINUATION, END_HEADERS, 0)),
        ("CONTINUATION on another stream", IN_BLOCK, frame(CONTINUATION, END_HEADERS, 3)),
        (
            "CONTINUATION after END_HEADERS",
            IN_BLOCK + frame(CONTINUATION, END_HEADERS, 1),
            frame(CONTINUATION, END_HEADERS, 1),
        ),
        ("DATA inside a header block", IN_BLOCK, data(1, b"")),
        ("HEADERS inside a header block", IN_BLOCK, headers(1, SILENT)),
        ("PING inside a header block", IN_BLOCK, frame(PING, 0, 0, bytes(8))),
        ("a frame of unknown type inside a header block", IN_BLOCK, frame(0xFA, 0, 1)),
        ("a frame of unknown type as the first", PREFACE, frame(0xFA, 0, 0)),
    ),
    *_goaway(
        FRAME_SIZE_ERROR,
        ("DATA without the length of its padding", CALL, data(1, b"", PADDED)),
        ("DATA beyond SETTINGS_MAX_FRAME_SIZE", CALL, data(1, bytes(16_385))[:9]),
        ("HEADERS without the length of its padding", OPEN, frame(HEADERS, PADDED | END_HEADERS, 1)),
        ("HEADERS too short for its priority", OPEN, frame(HEADERS, HAS_PRIORITY | END_HEADERS, 1, bytes(4))),
        (
            "HEADERS whose padding leaves no priority",
            OPEN,
            frame(HEADERS, PADDED | HAS_PRIORITY | END_HEADERS, 1, b"\2" + bytes(6)),
        ),
        ("HEADERS beyond SETTINGS_MAX_FRAME_SIZE", OPEN, frame(HEADERS, 0, 1, bytes(16_385))[:9]),
        ("PRIORITY of 4 bytes on an idle stream", CALL, frame(PRIORITY, 0, 3, bytes(4))),
        ("RST_STREAM of 3 bytes", CALL, frame(RST_STREAM, 0, 1, bytes(3))),
        ("RST_STREAM of 5 bytes", CALL, frame(RST_STREAM, 0, 1, bytes(5))),
        ("SETTINGS of 5 bytes", OPEN, frame(SETTINGS, 0, 0, bytes(5))),
        ("SETTINGS: an acknowledgement with values", OPEN, frame(SETTINGS, ACK, 0, bytes(6))),
        ("PING of 7 bytes", OPEN, frame(PING, 0, 0, bytes(7))),
        ("PING of 9 bytes", OPEN, frame(PING, 0, 0, bytes(9))),
        ("GOAWAY of 7 bytes", OPEN, frame(GOAWAY, 0, 0, bytes(7))),
        ("WINDOW_UPDATE of 3 bytes", CALL, frame(WINDOW_UPDATE, 0, 1, bytes(3))),
        ("WINDOW_UPDATE of 5 bytes", OPEN, frame(WINDOW_UPDATE, 0, 0, bytes(5))),
        (
            "a frame of unknown type beyond SETTINGS_MAX_FRAME_SIZE",
            OPEN,
            frame(0xFA, 0, 0, bytes(16_385))[:9],
        ),
        ("a first frame beyond SETTINGS_MAX_FRAME_SIZE", PREFACE, frame(SETTINGS, 0, 0, bytes(16_386))[:9]),
    ),
    *_goaway(
        FLOW_CONTROL_ERROR,
        ("SETTINGS: INITIAL_WINDOW_SIZE too large", OPEN, settings((INITIAL_WINDOW_SIZE, 1 << 31))),
        (
            "SETTINGS: a stream's window too large",
            CALL + window_update(1, 9),
            settings((INITIAL_WINDOW_SIZE, MOST)),
        ),
        ("WINDOW_UPDATE: the connection's window too large", OPEN, window_update(0, MOST)),
        (
            "WINDOW_UPDATE: too large in two steps",
            OPEN + window_update(0, MOST - 65_535),
            window_update(0, 1),
        ),
    ),
    *_goaway(
        COMPRESSION_ERROR,
        ("HEADERS that end inside a string", OPEN, frame(HEADERS, END_HEADERS, 1, block(SILENT)[:-1])),
        ("HEADERS with an index of 0", OPEN, frame(HEADERS, END_HEADERS, 1, b"\x80")),
        ("HEADERS of a closed stream that do not decode", CLOSED, frame(HEADERS, END_HEADERS, 1, b"\xff")),
        ("HEADERS of a refused stream that do not decode", OPEN, frame(HEADERS, END_HEADERS, 1, b"\xbe")),
    ),
    *_reset(
        PROTOCOL_ERROR,
        ("HEADERS again, without END_STREAM", CALL, headers(1, [("x-more", "1")])),
        ("HEADERS that are a second request", CALL, headers(1, SILENT, END_HEADERS | END_STREAM)),
        ("trailers with an upper-case name", CALL, headers(1, [("X-Sum", "1")], END_HEADERS | END_STREAM)),
        (
            "trailers with connection: close",
            CALL,
            headers(1, [("connection", "close")], END_HEADERS | END_STREAM),
        ),
        ("WINDOW_UPDATE of 0 on a stream", CALL, window_update(1, 0)),
    ),
    *_reset(
        STREAM_CLOSED,
        ("DATA after END_STREAM", HALF_CLOSED, data(1, b"x")),
        ("DATA without a byte after END_STREAM", HALF_CLOSED, data(1, b"")),
        ("HEADERS after END_STREAM", HALF_CLOSED, LATE_TRAILERS),
        ("DATA after the client's RST_STREAM", CLOSED, data(1, b"late", END_STREAM)),
        ("trailers after the client's RST_STREAM", CLOSED, LATE_TRAILERS),
        ("DATA after both have ended", SERVED, data(1, b"late")),
        ("trailers after both have ended", SERVED, LATE_TRAILERS),
        ("DATA on a stream that was skipped", OPEN + headers(3, SILENT), data(1, b"x")),
        ("DATA on a closed stream, again and again", SERVED, data(1, b"late") * 9),
    ),
    *_reset(FLOW_CONTROL_ERROR, ("WINDOW_UPDATE: a stream's window too large", CALL, window_update(1, MOST))),
    *_reset(FRAME_SIZE_ERROR, ("PRIORITY of 4 bytes", CALL, frame(PRIORITY, 0, 1, bytes(4)))),
    *_nothing(
        ("an acknowledgement of SETTINGS", OPEN, frame(SETTINGS, ACK, 0)),
        ("SETTINGS: ENABLE_PUSH of 1", OPEN, settings((ENABLE_PUSH, 1))),
        ("a setting of unknown number", OPEN, settings((0xFFFF, 7))),
        ("the largest window", OPEN, settings((INITIAL_WINDOW_SIZE, MOST)) + window_update(0, MOST - 65_535)),
        ("PRIORITY on an idle stream", CALL, frame(PRIORITY, 0, 7, bytes(5))),
        ("PRIORITY after END_STREAM", HALF_CLOSED, frame(PRIORITY, 0, 1, bytes(5))),
        ("a frame of unknown type", CALL, frame(0xFA, 0xFF, 1, b"what?") + frame(0xFB, 0, 0)),
        ("flags that mean nothing", CALL, frame(DATA, 0xF6, 1) + frame(PING, 0xFE | ACK, 0, bytes(8))),
        ("the reserved bit of the stream", CALL, frame(WINDOW_UPDATE, 0, 1 | 1 << 31, b"\0\0\0\1")),
        ("padding that is not zero", CALL, data(1, b"\x03abc", PADDED)[:-3] + b"abc"),
        ("DATA after an early answer", EARLY, data(1, b"late") * 3 + data(1, b"", END_STREAM)),
        ("trailers after an early answer", EARLY, LATE_TRAILERS),
        ("DATA after the server's RST_STREAM", RESET, data(1, b"late") + data(1, b"", END_STREAM)),
        ("trailers after the server's RST_STREAM", RESET, LATE_TRAILERS),
        ("DATA after both have sent RST_STREAM", RESET + frame(RST_STREAM, 0, 1, bytes(4)), data(1, b"late")),
        ("DATA after a refused request", OPEN + headers(1, []), data(1, b"late")),
        ("RST_STREAM on a closed stream", CLOSED, frame(RST_STREAM, 0, 1, bytes(4))),
        ("WINDOW_UPDATE on a closed stream", CLOSED, window_update(1, 1)),
        ("PING's acknowledgement that nobody awaits", OPEN, frame(PING, ACK, 0, bytes(8))),
        ("GOAWAY with debug data", CALL, frame(GOAWAY, 0, 0, bytes(8) + b"so long")),
    ),
    Fault("DATA beyond the stream's window", HELD, FLOOD, reset=(1, FLOW_CONTROL_ERROR), config=SMALL),
    Fault("DATA beyond the connection's window", HELD, FLOOD, goaway=FLOW_CONTROL_ERROR, config=SMALLER),
    Fault(
        "more streams than allowed",
        OPEN + headers(1, SILENT),
        headers(3, SILENT),
        reset=(3, REFUSED_STREAM),
        config=Config(max_concurrent_streams=1),
    ),
    Fault(
        "a header block without end",
        IN_BLOCK,
        frame(CONTINUATION, 0, 1, bytes(16_384)) * 64,
        goaway=ENHANCE_YOUR_CALM,
    ),
    Fault(
        "a header block over the limit that does not decode",
        IN_BLOCK,
        frame(CONTINUATION, 0, 1, block([("x", "y" * 1000)]) * 16) * 3
        + frame(CONTINUATION, END_HEADERS, 1, b"\x80"),
        goaway=COMPRESSION_ERROR,
    ),
]
