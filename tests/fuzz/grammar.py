"""What clients do, right and wrong, as frames: each step is a kind and three numbers from 0 to 255.

Small numbers make a sequence that hypothesis can shrink, a random generator can write 10,000 times a second,
and a person can read. Most kinds are right whenever they come; those in ``MISSTEPS`` break one rule.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from random import Random

import hpack

from tests.support.raw import (
    ACK,
    CONTINUATION,
    DATA,
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
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    message,
    request,
    settings,
    window_update,
)

__all__ = [
    "BEGIN",
    "CONNECTION_MISSTEPS",
    "KINDS",
    "MISSTEPS",
    "OWNER",
    "STREAM_MISSTEPS",
    "Client",
    "Step",
    "random_steps",
]

Step = tuple[str, int, int, int]

MOST = 2**31 - 1

_LONG = [("x-long", "y" * 300)]
HEADS = [
    request("Call"),
    request("Call", ("grpc-timeout", "1S")),
    request("Other", ("grpc-timeout", "99999999n"), ("x-id", "1"), ("x-bin", "AAEC")),
    request("Call", ("user-agent", "grpc-python/1.0 (fuzz)"), ("accept-encoding", "identity")),
    request("Call", *_LONG * 2),
    request("Call", ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "identity,gzip")),
    request("Call", ("x-bin", "A=,B=, é"), ("x-bin", ""), ("grpc-timeout", "xyzS"), ("-bin", "%")),
    [*request("Call")[:4], ("te", "trailers"), ("content-type", "application/grpc+proto")],
    request("Call", ("expect", "100-continue")),
]
#: Well-formed, and no call; then those that are malformed.
REFUSED = [
    [(":method", "GET"), *request("Call")[1:]],
    [*request("Call")[:4], ("content-type", "text/plain")],
    [*request("Call")[:4], ("content-type", "application/grpc-web")],
    request("Call", ("grpc-encoding", "snappy")),
    request("Call", ("grpc-timeout", "1S"), ("grpc-timeout", "2S")),
    request("Call", ("grpc-timeout", "1234567890S")),
    request("Call", *_LONG * 4),
]
MALFORMED = [
    request("Call", ("X-Upper", "1")),
    request("Call", ("connection", "close")),
    request("Call", ("te", "gzip")),
    request("Call", ("x", " 1")),
    request("Call", ("x", "1\n2")),
    [("grpc-timeout", "1S"), *request("Call")],
    request("Call", ("grpc-timeout", "1\n")),
    request("Call", ("grpc-timeout", " 1S")),
    request("Call", ("", "1")),
    request("Call", (":path", "/again")),
    request("Call", (":status", "200")),
    request("Call")[1:],
    [*request("Call")[3:], *request("Call")[:3]],
    [],
]
TRAILERS: list[list[tuple[str, str]]] = [[("x-sum", "1")], [("x-a", "1"), ("x-b", "2")], []]
BAD_TRAILERS = [[("X-Sum", "1")], [("connection", "close")], [("x", "1"), (":path", "/")]]

#: The limit of the sessions that are fuzzed: a message beyond it may still come in one frame.
MESSAGE_LIMIT = 16_300
SIZES = [0, 1, 5, 30, 100, 100, 300, 1000, 5000, 12_000, 16_000, MESSAGE_LIMIT]
WINDOWS = [0, 1, 100, 65_535, 65_535, 1 << 20]
INCREMENTS = [1, 5, 100, 5000, 65_535, 1 << 20]


#: Compressed messages, the last of which comes to more than the limit.
_PACKED = [gzip.compress(bytes(size), mtime=0) for size in (0, 100, MESSAGE_LIMIT, MESSAGE_LIMIT + 1)]


def _block(fields: list[tuple[str, str]], form: int) -> bytes:
    """Literals; literals that enter the table, of any size or of at most 200 bytes; Huffman-coded ones."""
    if form == 0:
        return block(fields)
    coded = b"".join(b"\x40" + each[1:] for each in (block([field]) for field in fields))
    if form == 1:
        return coded
    if form == 2:
        return b"\x3f\xa9\x01" + coded
    return b"\x20\x3f\xe1\x1f" + hpack.Encoder().encode(fields)  # empties the table first


def _forms(heads: list[list[tuple[str, str]]]) -> list[bytes]:
    # Written once: a header block is what costs most to make.
    return [_block(fields, form) for fields in heads for form in range(4)]


_HEADS, _REFUSED, _MALFORMED = _forms(HEADS), _forms(REFUSED), _forms(MALFORMED)
_TRAILERS, _BAD_TRAILERS = _forms(TRAILERS), _forms(BAD_TRAILERS)
#: Literals with indexing, indices of the static and of the dynamic table, size updates, long integers.
_PIECES = [
    b"\x40\x01x\x011", b"\x7f\x00\x01z", b"\x86", b"\xbe", b"\xbf", b"\xff\x00", b"\xff\x80\x00",
    b"\x20", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f", b"\xff\x80\x80\x80\x80\x80\x01",
]  # fmt: skip


class Client:
    """Writes the bytes of steps. It knows which streams it began, and nothing of what came back."""

    def __init__(self) -> None:
        self.next = 1
        #: The streams it may still send on, oldest first.
        self.sending: list[int] = []
        #: Streams on which it has said its last word.
        self.done: list[int] = []

    def write(self, step: Step) -> bytes:
        """The frames of one step; b"" if it makes no sense now, or is the owner's."""
        write = KINDS.get(step[0])
        return write(self, *step[1:]) if write else b""

    # ---- what is right

    def call(self, a: int, b: int, c: int) -> bytes:
        """A request, with padding or priority, or in parts, as ``b`` says."""
        return self._headers(self._begin(end=c % 4 == 0), _HEADS[a % len(_HEADS)], b, end=c % 4 == 0)

    def whole_call(self, a: int, b: int, c: int) -> bytes:
        """Request, one message and the end: what most real calls are."""
        id = self._begin(end=True)
        return self._headers(id, _HEADS[a % len(_HEADS)], b) + frame(
            DATA, END_STREAM, id, message(bytes((c,)) * SIZES[b % 6])
        )

    def messages(self, a: int, b: int, c: int) -> bytes:
        """Messages on an open stream, cut into DATA frames anywhere, perhaps padded, perhaps the last."""
        id = self._sending(a)
        if not id:
            return b""
        # Zeros, where another message has begun, are thousands of empty ones: seldom, since they take long.
        fill = 0 if b < 4 else 64
        sizes = (SIZES[(b + each) % len(SIZES)] for each in range(1 + c % 3))
        data = b"".join(message(bytes((fill + each,)) * size) for each, size in enumerate(sizes))
        end = c % 5 == 0
        if end:
            self._end(id)
        return self._data(id, data, piece=(16_384, 7, 3000, 1)[a % 4] if len(data) < 40 else 16_000, end=end)

    def part(self, a: int, b: int, c: int) -> bytes:
        """The beginning of a message whose rest comes in ``rest``."""
        id = self._sending(a)
        return frame(DATA, 0, id, message(bytes(100))[: 105 * b // 256]) if id else b""

    def rest(self, a: int, b: int, c: int) -> bytes:
        """Bytes of the value 0: the rest of a message, or empty messages, or part of a prefix."""
        id = self._sending(a)
        return frame(DATA, 0, id, bytes(b >> 3)) if id else b""

    def padded(self, a: int, b: int, c: int) -> bytes:
        id = self._sending(a)
        return frame(DATA, PADDED, id, bytes((b,)) + message(bytes(c)) + bytes(b)) if id else b""

    def end(self, a: int, b: int, c: int) -> bytes:
        id = self._sending(a)
        if not id:
            return b""
        self._end(id)
        if b % 3:
            return frame(DATA, END_STREAM, id)
        return self._headers(id, _TRAILERS[c % len(_TRAILERS)], b, end=True)

    def cancel(self, a: int, b: int, c: int) -> bytes:
        id = self._any(a)
        self._end(id)
        return frame(RST_STREAM, 0, id, (b % 16).to_bytes(4, "big")) if id else b""

    def ping(self, a: int, b: int, c: int) -> bytes:
        return frame(PING, ACK if a % 4 == 0 else 0, 0, bytes((a, b, c)) + b"12345")

    def last_calls(self, a: int, b: int, c: int) -> bytes:
        """The answer to the PING of a shutdown."""
        return frame(PING, ACK, 0, b"goaway\0\0")

    def settings(self, a: int, b: int, c: int) -> bytes:
        values = [(INITIAL_WINDOW_SIZE, WINDOWS[b % len(WINDOWS)])]
        if a % 3 == 0:
            values = [(MAX_FRAME_SIZE, (16_384, 20_000, 1 << 20)[c % 3]), (a, b << c % 24)] if a > 9 else []
        return settings(*values)

    def settings_ack(self, a: int, b: int, c: int) -> bytes:
        return frame(SETTINGS, ACK, 0)

    def open_stream(self, a: int, b: int, c: int) -> bytes:
        id = self._any(a)
        return window_update(id, INCREMENTS[b % len(INCREMENTS)] + c) if id else b""

    def open_connection(self, a: int, b: int, c: int) -> bytes:
        return window_update(0, INCREMENTS[b % len(INCREMENTS)] + c)

    def priority(self, a: int, b: int, c: int) -> bytes:
        return frame(PRIORITY, a, 1 + 2 * b, bytes((0, 0, 0, c, b)))

    def unknown(self, a: int, b: int, c: int) -> bytes:
        return frame(10 + a % 200, b, c, bytes(a))

    def goaway(self, a: int, b: int, c: int) -> bytes:
        return frame(GOAWAY, a, 0, bytes(8) + bytes(b))

    def reserved(self, a: int, b: int, c: int) -> bytes:
        """Flags and a bit that mean nothing."""
        return frame(WINDOW_UPDATE, b, (self._any(a) or 0) | 1 << 31, b"\x80\0\0\x01")

    # ---- what is wrong

    def refused_request(self, a: int, b: int, c: int) -> bytes:
        return self._headers(self._begin(end=True), _REFUSED[a % len(_REFUSED)], b, end=c % 2 == 0)

    def malformed_request(self, a: int, b: int, c: int) -> bytes:
        return self._headers(self._begin(end=True), _MALFORMED[a % len(_MALFORMED)], b, end=c % 2 == 0)

    def bad_trailers(self, a: int, b: int, c: int) -> bytes:
        id = self._any(a)
        self._end(id)
        pick = (_BAD_TRAILERS + _TRAILERS)[c % (len(_BAD_TRAILERS) + len(_TRAILERS))]
        return self._headers(id, pick, b, end=b % 2 == 0) if id else b""

    def bad_message(self, a: int, b: int, c: int) -> bytes:
        """Flags that are not 0, or a length over the limit."""
        id = self._sending(a)
        if not id:
            return b""
        if b % 4 == 3:
            return frame(DATA, c & END_STREAM, id, message(bytes(MESSAGE_LIMIT + 1)))
        length = MESSAGE_LIMIT + 1 if b % 3 == 0 else c % 2 * MESSAGE_LIMIT + c
        prefix = bytes((b % 3,)) + length.to_bytes(4, "big")
        return frame(DATA, c & END_STREAM, id, message(b"good") + prefix)

    def compressed(self, a: int, b: int, c: int) -> bytes:
        """Compressed messages, of which some are not; and the call's head may have named no encoding."""
        id = self._sending(a)
        packed = _PACKED[b % len(_PACKED)]
        data = message(packed, 1) + message(packed[: c % 12], 1)
        return frame(DATA, b & c & END_STREAM, id, data) if id else b""

    def after_end(self, a: int, b: int, c: int) -> bytes:
        """DATA or HEADERS on a stream that the client has ended, or that is closed."""
        if not self.done:
            return b""
        id = self.done[-1 - a % min(4, len(self.done))]
        if b % 3:
            return frame(DATA, b & END_STREAM, id, bytes(c))
        return self._headers(id, _TRAILERS[c % len(_TRAILERS)], 0, end=True)

    def empty_update(self, a: int, b: int, c: int) -> bytes:
        return window_update(self._any(a), 0) if self._any(a) else b""

    def overflow(self, a: int, b: int, c: int) -> bytes:
        """The largest increment, on a stream; one in 16 on the connection."""
        return window_update(0 if b < 16 else self._any(a), MOST)

    def flood(self, a: int, b: int, c: int) -> bytes:
        """More DATA than a window holds, if its owner does not take it."""
        id = self._sending(a)
        return frame(DATA, 0, id, message(bytes(16_000))) * 6 if id else b""

    def bad_priority(self, a: int, b: int, c: int) -> bytes:
        return frame(PRIORITY, 0, self._any(a), bytes(4)) if self._any(a) else b""

    def skipped(self, a: int, b: int, c: int) -> bytes:
        """Any frame type on any stream: idle ones, the server's, those that were skipped."""
        self.next += 2 * (c % 2)
        return frame(b % 11, c, max(0, self.next + a % 5 - 2), bytes((a, b, c, 0, 0)[: c % 6]))

    def bad_length(self, a: int, b: int, c: int) -> bytes:
        """A payload too short or too long, for any type, on the connection or a stream."""
        return frame(b % 11, c & ~END_HEADERS, (0, self._any(a))[a % 2], bytes(b % 12))

    def too_long(self, a: int, b: int, c: int) -> bytes:
        return frame(b % 11, c, self._any(a), bytes(16_385))[: 9 + a]

    def bad_padding(self, a: int, b: int, c: int) -> bytes:
        return frame(
            b % 2, PADDED | END_HEADERS, self._any(a), (bytes((c,)) + bytes(c // 2))[: 1 + c * (b % 4)]
        )

    def bad_setting(self, a: int, b: int, c: int) -> bytes:
        return settings((1 + a % 6, (0, 2, 16_383, 1 << 24, MOST, MOST + 1)[b % 6]))

    def bad_block(self, a: int, b: int, c: int) -> bytes:
        """A header block that does not decode, or might: pieces in any order."""
        pieces = [_PIECES[number % len(_PIECES)] for number in (a, b, c)]
        return self._headers(self._begin(end=True), b"".join(pieces)[: 1 + b % 16], 0, end=bool(c & 1))

    def interrupted(self, a: int, b: int, c: int) -> bytes:
        """A header block with something else in it."""
        id = self._begin(end=True)
        return frame(HEADERS, 0, id, _HEADS[0][:9]) + frame(b % 11, c, id + 2 * (a % 2), bytes(5))

    def measured(self, a: int, b: int, c: int) -> bytes:
        """A call that names its length, which may be another one; its DATA may go on in ``messages``."""
        whole = message(bytes((a,)) * b)
        named = (str(len(whole) + (0, 0, 1, -1)[c % 4]), "0", "", "-1", "00105")[max(0, c % 8 - 3)]
        end = a % 4 > 0
        id = self._begin(end=end)
        body = frame(DATA, END_STREAM if end and c % 3 else 0, id, whole)
        if end and not c % 3:
            body += self._headers(id, _TRAILERS[c % len(_TRAILERS)], 0, end=True)
        return self._headers(id, block(request("Call", ("content-length", named))), b) + body

    def oversize(self, a: int, b: int, c: int) -> bytes:
        """A header list over the limit, in frames enough: of a request, or of trailers."""
        id = self._sending(a) if b % 3 == 0 else 0
        self._end(id)
        fields = [("x-many", "y" * (100 + b))] * (180 + c)
        head = block([*fields] if id else [*request("Call"), *fields])
        id = id or self._begin(end=True)
        parts = [head[at : at + 16_000] for at in range(0, len(head), 16_000)]
        return (
            frame(HEADERS, c & END_STREAM, id, parts[0])
            + b"".join(frame(CONTINUATION, 0, id, part) for part in parts[1:])
            + frame(CONTINUATION, END_HEADERS, id, b"\x40\x03x-o" + bytes((1, 65 + a % 26)))
        )

    def endless(self, a: int, b: int, c: int) -> bytes:
        """A header block over the limit."""
        id = self._begin(end=True)
        return frame(HEADERS, 0, id) + frame(CONTINUATION, 0, id, bytes(16_000)) * (1 + a % 3)

    def push_promise(self, a: int, b: int, c: int) -> bytes:
        return frame(PUSH_PROMISE, c, self._any(a), bytes(b))

    def garbage(self, a: int, b: int, c: int) -> bytes:
        return Random(a << 16 | b << 8 | c).randbytes(1 + a)

    # ---- parts

    def _begin(self, *, end: bool) -> int:
        id, self.next = self.next, self.next + 2
        (self.done if end else self.sending).append(id)
        return id

    def _end(self, id: int) -> None:
        if id in self.sending:
            self.sending.remove(id)
            self.done.append(id)

    def _sending(self, a: int) -> int:
        return self.sending[-1 - a % min(4, len(self.sending))] if self.sending else 0

    def _any(self, a: int) -> int:
        """A stream that was begun; 0 if there is none."""
        if a % 4 == 0 and self.done:
            return self.done[-1 - a % min(4, len(self.done))]
        return self._sending(a) or (self.done[-1] if self.done else 0)

    def _headers(self, id: int, block: bytes, form: int, *, end: bool = False) -> bytes:
        flags = END_STREAM if end else 0
        if form % 8 == 1:
            return frame(HEADERS, flags | END_HEADERS | PADDED, id, b"\x03" + block + bytes(3))
        if form % 8 == 2:
            return frame(HEADERS, flags | END_HEADERS | HAS_PRIORITY, id, bytes(5) + block)
        if form % 8 == 3:
            return (
                frame(HEADERS, flags, id, block[:form])
                + frame(CONTINUATION, 0, id, block[form : 2 * form])
                + frame(CONTINUATION, END_HEADERS, id, block[2 * form :])
            )
        return frame(HEADERS, flags | END_HEADERS, id, block)

    def _data(self, id: int, data: bytes, *, piece: int, end: bool) -> bytes:
        parts = [data[at : at + piece] for at in range(0, len(data), piece)]
        return b"".join(
            frame(DATA, END_STREAM if end and at == len(parts) - 1 else 0, id, part)
            for at, part in enumerate(parts)
        )


#: How often each kind comes. The first are right; the rest are missteps, by what they usually cost.
RIGHT = {
    "whole_call": 200, "call": 120, "messages": 250, "part": 40, "rest": 40, "padded": 30, "end": 120,
    "cancel": 60, "ping": 40, "settings": 25, "settings_ack": 10, "open_stream": 60, "open_connection": 60,
    "priority": 15, "unknown": 15, "reserved": 10, "last_calls": 4, "goaway": 2,
}  # fmt: skip
STREAM_MISSTEPS = {
    "refused_request": 10, "malformed_request": 10, "bad_trailers": 8, "bad_message": 8, "compressed": 20,
    "after_end": 10, "empty_update": 4, "overflow": 3, "bad_priority": 1, "flood": 5,
    "oversize": 2, "measured": 15,
}  # fmt: skip
CONNECTION_MISSTEPS = {
    "skipped": 1, "bad_length": 0.5, "too_long": 0.2, "bad_padding": 0.5, "bad_setting": 0.5,
    "bad_block": 0.5, "interrupted": 0.5, "endless": 0.2, "push_promise": 0.2, "garbage": 0.5,
}  # fmt: skip
MISSTEPS = STREAM_MISSTEPS | CONNECTION_MISSTEPS
#: What the owner of the session does meanwhile, by itself; see ``Trial.own``.
OWNER = {
    "consume": 60, "answer": 60, "finish": 60, "reset": 10, "shutdown": 1, "end_shutdown": 1, "keepalive": 3,
    "move": 30,
}  # fmt: skip

KINDS: dict[str, Callable[[Client, int, int, int], bytes]] = {
    kind: getattr(Client, kind) for kind in RIGHT | MISSTEPS
}
_ALL = RIGHT | MISSTEPS | OWNER
_NAMES = list(_ALL)
_CUMULATED = [sum(list(_ALL.values())[: at + 1]) for at in range(len(_ALL))]


def random_steps(random: Random, count: int) -> list[Step]:
    """As many steps, each kind as often as its weight says."""
    numbers = random.randbytes(3 * count)
    kinds = random.choices(_NAMES, cum_weights=_CUMULATED, k=count)
    return [(kind, *numbers[3 * at : 3 * at + 3]) for at, kind in enumerate(kinds)]


#: Preface and SETTINGS, as most clients begin.
BEGIN = OPEN
