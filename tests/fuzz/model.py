"""What a client may expect of a gRPC server, byte for byte: a second reading of RFC 9113 and of gRPC.

Nothing here comes from ``actorrpc.wire``. Frames are read by hand, header blocks by ``hpack``, and what is
not in a specification is not in the model: when a server opens a window, or how it divides DATA, is its own
affair, and only the bounds are checked.

::

                     HEADERS                     END_STREAM
      ┌──────┐ ───────────────────► ┌──────┐ ───────────────────► ┌──────────────────────┐
      │ idle │                      │ open │                      │ half-closed (remote) │
      └──────┘                      └──┬───┘                      └──────────┬───────────┘
                                       │  RST_STREAM from either side, or the trailers
                                       └──────────────► closed ◄─────────────┘

Usage, for each step: ``granted`` with what the server sent, ``receive`` with what it had received, which
returns the events that it should have reported; then what its owner did; then ``read`` and ``settle``.
``receive`` knows only then which windows the server had opened.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import hpack

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
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

__all__ = ["Act", "Model", "Verdict", "Wrong", "frames", "verdict"]

# Error codes (RFC 9113, 7).
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x0, 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x7, 0x8, 0x9, 0xB

# gRPC's status codes.
RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 8, 12, 13

MOST = 2**31 - 1
FRAME_LIMIT = 16_384  # we announce no other
#: A header block of more bytes or fields ends the connection.
BLOCK_LIMIT, FIELDS_LIMIT = 1 << 20, 65_536
#: The PING that tells when the client has seen the first GOAWAY.
LAST_CALLS = b"goaway\0\0"
#: What one frame may cost of a flood budget, at most; and how far a budget may be overdrawn.
_DEAREST, _OVERDRAFT = 100, 1000
#: How the answer to a client begins that speaks HTTP/1.x, or TLS.
_NOT_FRAMES = (b"HTTP/1.1 ", b"\x15\x03")

Fields = tuple[tuple[bytes, bytes], ...]
#: A name and its values: an event, a frame that is due, or what the owner did.
Act = tuple[Any, ...]


class Wrong(AssertionError):
    """The server did something else than the model."""


class Broken(Exception):
    """The client has broken the connection: GOAWAY with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, stream and payload of each whole frame."""
    at = 0
    while len(data) - at >= 9:
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if end > len(data):
            break
        yield data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big"), data[at + 9 : end]
        at = end
    if at != len(data):
        raise Wrong(f"the server's output ends inside a frame: {data[at:]!r}")


# ---- header lists


class Verdict(NamedTuple):
    """What a request is: a call, or refused with an HTTP or a gRPC status; ``None`` stands for malformed."""

    path: str
    timeout: str = ""
    http: int = 200
    status: int = 0
    compressed: bool = False
    #: What its DATA must come to (RFC 9113, 8.1.1).
    length: int | None = None
    #: The client may wait for an interim response (RFC 9110, 10.1.1).
    waits: bool = False


_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
_OF_REQUESTS = {b":method", b":scheme", b":path", b":authority"}
_GRPC_TYPE = re.compile(rb"application/grpc([+;].*)?", re.DOTALL)


def well_formed(fields: Fields) -> bool:
    """Whether HTTP/2 allows the fields anywhere (RFC 9113, 8.2)."""
    return all(
        _TOKEN.fullmatch(name.removeprefix(b":"))
        and name not in _HOP_BY_HOP
        and (name != b"te" or value == b"trailers")
        and not set(value) & {0, 10, 13}
        and value == value.strip(b" \t")
        for name, value in fields
    )


def list_size(fields: Iterable[tuple[bytes, bytes]]) -> int:
    """The size of a header list (RFC 9113, 6.5.2)."""
    return sum(len(name) + len(value) + 32 for name, value in fields)


@lru_cache(1024)
def verdict(fields: Fields, limit: int) -> Verdict | None:
    """What becomes of a request with these fields (RFC 9113, 8.3; PROTOCOL-HTTP2, "Requests")."""
    pseudo = [name for name, _ in fields if name.startswith(b":")]
    values = dict(fields)
    timeouts = [value for name, value in fields if name == b"grpc-timeout"]
    if (
        not well_formed(fields)
        or [name for name, _ in fields[: len(pseudo)]] != pseudo
        or len(set(pseudo)) < len(pseudo)
        or not set(pseudo) <= _OF_REQUESTS
        or not all(values.get(name) for name in (b":method", b":scheme", b":path"))
    ):
        return None
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1 or not all(value.isdigit() and len(value) < 19 for value in lengths):
        return None
    length = int(lengths[0]) if lengths else None
    path = values[b":path"].decode("latin-1")
    if values[b":method"] != b"POST":
        return Verdict(path, http=405, length=length)
    if not _GRPC_TYPE.fullmatch(values.get(b"content-type", b"")):
        return Verdict(path, http=415, length=length)
    words = [text.decode("latin-1") for text in timeouts]
    if len(words) > 1 or not all(2 <= len(word) <= 9 and word.isalnum() for word in words):
        return Verdict(path, status=INTERNAL, length=length)
    encoding = values.get(b"grpc-encoding", b"identity")
    if encoding not in (b"identity", b"gzip", b"deflate"):
        return Verdict(path, status=UNIMPLEMENTED, length=length)
    # As SETTINGS_MAX_HEADER_LIST_SIZE counts; the deadline is read before the list is weighed.
    if list_size((name, value) for name, value in fields if name != b"grpc-timeout") > limit:
        return Verdict(path, status=RESOURCE_EXHAUSTED, length=length)
    timeout = timeouts[0].decode("latin-1") if timeouts else ""
    waits = values.get(b"expect") == b"100-continue"
    return Verdict(path, timeout, compressed=encoding != b"identity", length=length, waits=waits)


@lru_cache(1024)
def _response(block: bytes) -> dict[bytes, bytes]:
    """The fields of one of the server's blocks, which must need no dynamic table."""
    return {bytes(name): bytes(value) for name, value in hpack.Decoder().decode(block, raw=True)}


# ---- the model


class Stream:
    """One stream, from both sides."""

    __slots__ = (
        "begun",
        "compressed",
        "credit",
        "cut",
        "greeted",
        "held",
        "held_bytes",
        "id",
        "left",
        "or_status",
        "out",
        "received",
        "remote_closed",
        "reset",
        "status",
        "window",
    )

    def __init__(self, id: int, credit: int, window: int) -> None:
        self.id = id
        #: What the client may send, and what the server may send.
        self.credit = credit
        self.window = window
        self.remote_closed = False
        #: What is left of the length that the client has named; None if it has not.
        self.left: int | None = None
        #: The client may compress its messages.
        self.compressed = False
        #: The part of a message that has come; the messages that the owner has not taken, and their bytes.
        self.received = b""
        self.held = 0
        self.held_bytes = 0
        #: What the owner has sent and the client has not seen: response headers, messages, the end.
        self.greeted = False
        self.out = bytearray()
        self.status: tuple[bytes, int] | None = None
        #: Another status that it may end with: some of ``out`` may have waited, and was cut off, or not.
        self.or_status: tuple[bytes, int] | None = None
        self.reset: int | None = None
        #: The rest of ``out`` will not come.
        self.cut = False
        #: The client has seen response headers.
        self.begun = False


class Model:
    """One connection. ``frames``, ``types`` and ``codes`` say how deep a run went."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.open: dict[int, Stream] = {}
        #: Streams that the client expects something on; open ones among them.
        self.replies: dict[int, Stream] = {}
        self.last = 0
        self.credit = 65_535
        self.window = 65_535
        self.initial_window = 65_535
        self.max_frame = FRAME_LIMIT
        self.fault: int | None = None
        self.refused_preface = False
        #: The connection's frames that must come, in order.
        self.control: deque[Act] = deque()
        #: Bytes of a frame, or of the preface, that is not whole.
        self.buffer = b""
        self.frames = self._frames_before = 0
        self.types: Counter[int] = Counter()
        #: ``("goaway", code)`` and ``("reset", code)``, as the server owed them.
        self.codes: Counter[tuple[str, int]] = Counter()
        #: Frames that a flood budget may charge for, and those for which it must charge one unit at least.
        self.idle_frames = 0
        self.surely_idle = 0
        self._events: list[Act] = []
        self._decoder = hpack.Decoder(max_header_list_size=1 << 30)
        self._block: tuple[int, int, bytes] | None = None
        self._grants: Counter[int] = Counter()
        self._preface_left = len(PREFACE)
        self._settings_sent = False
        self._greeted = False
        self._going_away = False
        self._gone_away = False
        #: Streams whose client waits for an interim response, which comes at once, whatever becomes of them.
        self._interim: set[int] = set()
        #: Streams whose client broke gRPC's framing, or a limit: their owner has not been told.
        self._given_up: dict[int, Stream] = {}
        #: Streams that the server has reset: what comes on them may have been on its way.
        self._late: dict[int, None] = {}
        #: Streams begun after the last GOAWAY, which are refused.
        self._too_late: set[int] = set()

    # ---- the client's bytes

    def receive(self, data: bytes) -> list[Act]:
        """The events that these bytes cause."""
        self._events = []
        self._frames_before = self.frames
        if self.fault is not None:
            return self._events
        self.buffer += data
        try:
            if self._preface_left:
                self._preface()
            if not self._preface_left:
                self._frames()
        except Broken as broken:
            self.fault = broken.code
            self.buffer = b""
            self.codes["goaway", broken.code] += 1
            self.control.append(("goaway", self.last, broken.code))
            self._events.append(("fault", broken.code))
        return self._events

    def calm(self, seen: list[Act], due: list[Act]) -> None:
        """The server has ended the connection with ENHANCE_YOUR_CALM, somewhere in what it was last given.

        When exactly is its own affair; here is what a client may rely on.
        """
        _require(seen[:-1] == due[: len(seen) - 1], "something else was reported ahead of ENHANCE_YOUR_CALM")
        self.control.clear()
        self.frames = self._frames_before  # of this read's frames, nobody knows how many were looked at
        flooded = 0 < self.config.flood_burst <= _DEAREST * self.idle_frames
        pinged = self.config.permit_keepalive_time and self.types[PING] > 3
        if self.fault != ENHANCE_YOUR_CALM:  # for a header block without end
            _require(bool(flooded or pinged), f"ENHANCE_YOUR_CALM after {self.idle_frames} frames")
            self.codes["goaway", self.fault or 0] -= self.fault is not None
            self.codes["goaway", ENHANCE_YOUR_CALM] += 1
            self.fault = ENHANCE_YOUR_CALM

    def _preface(self) -> None:
        left = PREFACE[-self._preface_left :]
        if not (self.buffer.startswith(left) or left.startswith(self.buffer)):
            self.refused_preface = True
            raise Broken(PROTOCOL_ERROR)
        taken = min(len(left), len(self.buffer))
        self.buffer = self.buffer[taken:]
        self._preface_left -= taken
        if not self._preface_left:
            self._send_settings()

    def _send_settings(self) -> None:
        if not self._settings_sent:
            self._settings_sent = True
            self.control.append(("settings",))

    def _frames(self) -> None:
        data = self.buffer
        at = 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if length > FRAME_LIMIT:
                raise Broken(FRAME_SIZE_ERROR)
            end = at + 9 + length
            if end > len(data):
                break
            self._frame(
                data[at + 3],
                data[at + 4],
                int.from_bytes(data[at + 5 : at + 9], "big") & MOST,
                data[at + 9 : end],
            )
            at = end
        self.buffer = data[at:]

    def _frame(self, type_: int, flags: int, id: int, payload: bytes) -> None:
        self.frames += 1
        self.types[type_] += 1
        self.idle_frames += not (type_ == DATA and payload)
        self.surely_idle += type_ in (PING, SETTINGS, PRIORITY) or type_ > CONTINUATION
        if (self._block is not None and type_ != CONTINUATION) or (not self._greeted and type_ != SETTINGS):
            raise Broken(PROTOCOL_ERROR)
        handler = _ON.get(type_)
        if handler is not None:
            handler(self, id, flags, payload)

    def _idle(self, id: int) -> bool:
        return id % 2 == 0 or (id > self.last and not self._gone_away)

    # ---- HEADERS

    def _on_headers(self, id: int, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            payload = _unpad(payload)
        if flags & HAS_PRIORITY:
            if len(payload) < 5:
                raise Broken(FRAME_SIZE_ERROR)
            payload = payload[5:]
        if id % 2 == 0:
            raise Broken(PROTOCOL_ERROR)
        self._block = (id, flags, payload)
        if flags & END_HEADERS:
            self._whole_block()

    def _on_continuation(self, id: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != id:
            raise Broken(PROTOCOL_ERROR)
        self._block = (id, self._block[1], self._block[2] + payload)
        if len(self._block[2]) > BLOCK_LIMIT:
            raise Broken(ENHANCE_YOUR_CALM)
        if flags & END_HEADERS:
            self._whole_block()

    def _whole_block(self) -> None:
        assert self._block is not None
        (id, flags, block), self._block = self._block, None
        try:
            fields = tuple((bytes(n), bytes(value)) for n, value in self._decoder.decode(block, raw=True))
        except hpack.HPACKError:
            raise Broken(COMPRESSION_ERROR) from None
        limit = self.config.max_header_list_bytes
        oversize = list_size(fields) > limit
        if len(block) > limit + FRAME_LIMIT:  # it is paid for by its bytes
            self.idle_frames += len(block) // _DEAREST
            if len(fields) > FIELDS_LIMIT:
                raise Broken(ENHANCE_YOUR_CALM)
        stream = self.open.get(id)
        if id > self.last:
            large = oversize and len(block) > limit + FRAME_LIMIT
            self._request(id, fields, bool(flags & END_STREAM), large)
        elif stream is None:
            if fields and fields[0][0].startswith(b":"):
                raise Broken(PROTOCOL_ERROR)  # a stream cannot be begun twice
            self._closed(id)
        elif stream.remote_closed:
            self._reset(stream, STREAM_CLOSED)
        elif not flags & END_STREAM:
            self._reset(stream, PROTOCOL_ERROR)
        elif oversize:
            stream.remote_closed = True
            self._refuse(stream, RESOURCE_EXHAUSTED)
        elif stream.left or not well_formed(fields) or any(n.startswith(b":") for n, _ in fields):
            self._reset(stream, PROTOCOL_ERROR)
        else:
            self._half_close(stream)

    def _request(self, id: int, fields: Fields, end: bool, large: bool) -> None:
        """``large``: there are too many fields to be looked at."""
        if id in self._too_late:
            return
        stream = Stream(id, self.config.stream_window_bytes + self._grants.pop(id, 0), self.initial_window)
        self.replies[id] = stream
        if self._gone_away:
            self._too_late.add(id)
            self._reset(stream, REFUSED_STREAM)
            return
        self.last = id
        limit = self.config.max_header_list_bytes
        found = Verdict("", status=RESOURCE_EXHAUSTED) if large else verdict(fields, limit)
        if len(self.open) >= self.config.max_concurrent_streams:
            self._reset(stream, REFUSED_STREAM)
        elif found is None or (end and found.length):
            self._reset(stream, PROTOCOL_ERROR)
        elif found.http != 200:
            stream.remote_closed = end
            self._end(stream, (b":status", found.http))
        elif found.status:
            stream.remote_closed = end
            self._end(stream, (b"grpc-status", found.status))
        else:
            stream.compressed = found.compressed
            stream.left = found.length
            if found.waits and not end and found.length != 0:
                self._interim.add(id)
            self.open[id] = stream
            self._events.append(("request", id, found.path, found.timeout))
            if end:
                self._half_close(stream)

    # ---- DATA

    def _on_data(self, id: int, flags: int, payload: bytes) -> None:
        self.credit -= len(payload)
        if self.credit < 0:
            raise Broken(FLOW_CONTROL_ERROR)
        stream = self.open.get(id)
        if stream is None:
            if self._idle(id):
                raise Broken(PROTOCOL_ERROR)
            self._closed(id)
            return
        stream.credit -= len(payload)
        if stream.remote_closed:
            self._reset(stream, STREAM_CLOSED)
        elif stream.credit < 0:
            self._reset(stream, FLOW_CONTROL_ERROR)
        else:
            payload = _unpad(payload) if flags & PADDED else payload
            if stream.left is not None:
                stream.left -= len(payload)
                if stream.left < 0 or (flags & END_STREAM and stream.left):
                    self._reset(stream, PROTOCOL_ERROR)
                    return
            stream.received += payload
            stream.remote_closed = bool(flags & END_STREAM)
            self._messages(stream)
            if stream.remote_closed and id in self.open:
                self._half_close(stream)

    def _messages(self, stream: Stream) -> None:
        """The messages that are whole (PROTOCOL-HTTP2, "Length-Prefixed-Message")."""
        data = stream.received
        at = 0
        while len(data) - at >= 5:
            length = int.from_bytes(data[at + 1 : at + 5], "big")
            if data[at] <= 1 and length > self.config.max_receive_message_bytes:
                self._refuse(stream, RESOURCE_EXHAUSTED)
                return
            if data[at] > stream.compressed:
                self._refuse(stream, INTERNAL)
                return
            if len(data) - at < 5 + length:
                break
            self._events.append(("message", stream.id, data[at + 5 : at + 5 + length], bool(data[at])))
            stream.held += 1
            stream.held_bytes += length
            at += 5 + length
        stream.received = data[at:]

    def _half_close(self, stream: Stream) -> None:
        stream.remote_closed = True
        if stream.received:
            self._refuse(stream, INTERNAL)
        else:
            self._events.append(("ended", stream.id))

    # ---- frames without a call's content

    def _on_settings(self, id: int, flags: int, payload: bytes) -> None:
        if id:
            raise Broken(PROTOCOL_ERROR)
        if len(payload) % 6 or (payload and flags & ACK):
            raise Broken(FRAME_SIZE_ERROR)
        if flags & ACK:
            return
        self._greeted = True
        before = self.initial_window
        for at in range(0, len(payload), 6):
            self._setting(
                int.from_bytes(payload[at : at + 2], "big"), int.from_bytes(payload[at + 2 : at + 6], "big")
            )
        self.control.append(("ack",))
        for stream in self.open.values():
            stream.window += self.initial_window - before
            if stream.window > MOST:
                raise Broken(FLOW_CONTROL_ERROR)

    def _setting(self, key: int, value: int) -> None:
        if key == INITIAL_WINDOW_SIZE:
            if value > MOST:
                raise Broken(FLOW_CONTROL_ERROR)
            self.initial_window = value
        elif key == MAX_FRAME_SIZE:
            if not FRAME_LIMIT <= value < 1 << 24:
                raise Broken(PROTOCOL_ERROR)
            self.max_frame = value
        elif key == ENABLE_PUSH and value > 1:
            raise Broken(PROTOCOL_ERROR)

    def _on_ping(self, id: int, flags: int, payload: bytes) -> None:
        if id:
            raise Broken(PROTOCOL_ERROR)
        if len(payload) != 8:
            raise Broken(FRAME_SIZE_ERROR)
        if not flags & ACK:
            self.control.append(("ping ack", payload))
        elif payload == LAST_CALLS:
            self.end_shutdown()

    def _on_window_update(self, id: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(FRAME_SIZE_ERROR)
        increment = int.from_bytes(payload, "big") & MOST
        stream = self.open.get(id)
        if not id:
            self.window += increment
            if not increment:
                raise Broken(PROTOCOL_ERROR)
            if self.window > MOST:
                raise Broken(FLOW_CONTROL_ERROR)
        elif stream is None:
            if self._idle(id):
                raise Broken(PROTOCOL_ERROR)
        elif not increment:
            self._reset(stream, PROTOCOL_ERROR)
        else:
            stream.window += increment
            if stream.window > MOST:
                self._reset(stream, FLOW_CONTROL_ERROR)

    def _on_rst_stream(self, id: int, flags: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Broken(FRAME_SIZE_ERROR)
        if self._idle(id):
            raise Broken(PROTOCOL_ERROR)
        if id in self.open:
            del self.open[id], self.replies[id]  # a client wants nothing more on it
            self._events.append(("reset", id, int.from_bytes(payload, "big")))

    def _on_priority(self, id: int, flags: int, payload: bytes) -> None:
        if not id:
            raise Broken(PROTOCOL_ERROR)
        if len(payload) != 5:
            stream = self.open.get(id)
            if stream is None:
                raise Broken(FRAME_SIZE_ERROR)
            self._reset(stream, FRAME_SIZE_ERROR)

    def _on_goaway(self, id: int, flags: int, payload: bytes) -> None:
        if id:
            raise Broken(PROTOCOL_ERROR)
        if len(payload) < 8:
            raise Broken(FRAME_SIZE_ERROR)

    def _on_push_promise(self, id: int, flags: int, payload: bytes) -> None:
        raise Broken(PROTOCOL_ERROR)

    # ---- ends

    def _closed(self, id: int) -> None:
        """DATA or trailers on a closed stream: an error, if the server has not reset it (RFC 9113, 6.1)."""
        self.idle_frames += 1
        if id <= self.last and id not in self._late:
            self._reset(self.replies.setdefault(id, Stream(id, 0, 0)), STREAM_CLOSED)

    def _may_be_late(self, id: int) -> None:
        self._late[id] = None
        if len(self._late) > max(100, self.config.max_concurrent_streams):
            del self._late[next(iter(self._late))]

    def _reset(self, stream: Stream, code: int) -> None:
        """A stream error: RST_STREAM, and an end that the owner hears of if it knows of the call."""
        self._may_be_late(stream.id)
        self.codes["reset", code] += 1
        stream.reset = code
        stream.cut = True
        if self.open.pop(stream.id, None) is not None:
            self._events.append(("reset", stream.id, code))

    def _refuse(self, stream: Stream, status: int) -> None:
        """The client broke gRPC's framing, or a limit: its owner is told, and says so to the client."""
        stream.cut = True
        self._given_up[stream.id] = self.open.pop(stream.id)
        self._may_be_late(stream.id)
        self._events.append(("refused", stream.id, status))

    def _end(self, stream: Stream, status: tuple[bytes, int]) -> None:
        stream.status = status
        self.open.pop(stream.id, None)
        if not stream.remote_closed:
            self._may_be_late(stream.id)

    # ---- the owner

    def consumed(self, id: int, length: int) -> None:
        """A message has been taken."""
        if id in self.open:
            self.open[id].held -= 1
            self.open[id].held_bytes -= length

    def _known(self, id: int) -> Stream | None:
        """The stream, if its owner may still send on it."""
        return self.open.get(id) or self._given_up.get(id)

    def headers(self, id: int) -> None:
        stream = self._known(id)
        if stream is not None:
            stream.greeted = True

    def message(self, id: int, payload: bytes, compressed: bool) -> None:
        stream = self._known(id)
        if stream is not None:
            stream.greeted = True
            stream.out += bytes((compressed,)) + len(payload).to_bytes(4, "big") + payload

    def refuse(self, id: int, status: int) -> None:
        """The owner ends a call that was given up, unless it has ended it meanwhile."""
        stream = self._given_up.pop(id)
        refusal = (b"grpc-status", status)
        if stream.reset is None and stream.status is None:
            self._end(stream, refusal)
        elif stream.out:
            stream.or_status = refusal

    def finish(self, id: int, status: int) -> None:
        stream = self._known(id)
        if stream is not None and stream.status is None:
            stream.status = (b"grpc-status", status)
            if not stream.out:
                self._end(stream, stream.status)

    def reset(self, id: int, code: int) -> None:
        stream = self._known(id)
        if stream is not None:
            self.open.pop(id, None)
            self._may_be_late(id)
            stream.reset = code
            stream.cut = True

    def ping(self) -> None:
        self.control.append(("ping", b"actorrpc"))

    def end_shutdown(self) -> None:
        if self._going_away:
            self._going_away = False
            self._gone_away = True
            self.control.append(("goaway", self.last, NO_ERROR))

    def shutdown(self) -> None:
        if not self._going_away and not self._gone_away and self.fault is None:
            self._send_settings()
            self._going_away = True
            self.control.extend([("goaway", MOST, NO_ERROR), ("ping", LAST_CALLS)])

    # ---- the server's bytes

    def granted(self, data: bytes) -> None:
        """Note the WINDOW_UPDATEs in the server's output."""
        if data.startswith(_NOT_FRAMES):
            return
        for type_, _, id, payload in frames(data):
            if type_ == WINDOW_UPDATE:
                increment = int.from_bytes(payload, "big")
                _require(len(payload) == 4 and 0 < increment <= MOST, f"WINDOW_UPDATE of {increment}")
                if not id:
                    self.credit += increment
                elif id in self.open:
                    self.open[id].credit += increment
                else:
                    self._grants[id] += increment

    def read(self, data: bytes) -> None:
        """Check all that the server sent."""
        if self.refused_preface:
            _require(not data or data.startswith(_NOT_FRAMES) or data[3] == GOAWAY, repr(data))
            self.control.clear()
            return
        parts: list[tuple[int, bytes]] = []  # of a header block
        for type_, flags, id, payload in frames(data):
            _require(len(payload) <= self.max_frame, f"a frame of {len(payload)} bytes")
            if type_ == WINDOW_UPDATE:
                continue
            if not id:
                self._read_control(type_, flags, payload)
                continue
            if id in self._interim:
                self._interim.remove(id)
                _require(
                    (type_, flags) == (HEADERS, END_HEADERS), f"a frame of type {type_}, {flags}, not 100"
                )
                _require(_response(payload) == {b":status": b"100"}, f"{payload!r}, not 100")
                continue
            stream = self.replies.get(id)
            if stream is None:
                raise Wrong(f"a frame of type {type_} on stream {id}, which is over")
            if parts and type_ != CONTINUATION:
                raise Wrong(f"a frame of type {type_} inside a header block")
            if type_ == DATA:
                self._read_data(stream, flags, payload)
            elif type_ in (HEADERS, CONTINUATION):
                _require(type_ == HEADERS or bool(parts), "CONTINUATION of nothing")
                parts.append((flags, payload))
                if flags & END_HEADERS:
                    self._read_headers(stream, parts[0][0], b"".join(part for _, part in parts))
                    parts.clear()
            else:
                _require(type_ == RST_STREAM, f"a frame of type {type_} on stream {id}")
                code = int.from_bytes(payload, "big")
                _require(stream.reset == code, f"RST_STREAM {code} on stream {id}, not {stream.reset}")
                self.open.pop(id, None)
                del self.replies[id]

    def _read_control(self, type_: int, flags: int, payload: bytes) -> None:
        seen: Act
        if type_ == SETTINGS:
            seen = ("ack",) if flags & ACK else ("settings",)
        elif type_ == PING:
            seen = ("ping ack" if flags & ACK else "ping", payload)
        else:
            _require(type_ == GOAWAY, f"a frame of type {type_} on the connection")
            seen = ("goaway", int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big"))
        due = self.control.popleft() if self.control else None
        _require(seen == due, f"the server sent {seen}, not {due}")

    def _read_data(self, stream: Stream, flags: int, payload: bytes) -> None:
        size = len(payload)
        _require(stream.begun and not flags, f"DATA with flags {flags} on stream {stream.id}")
        _require(("ack",) not in self.control, "DATA by new settings ahead of their ACK")
        _require(stream.out.startswith(payload), f"other DATA than was sent on stream {stream.id}")
        del stream.out[:size]
        stream.window -= size
        self.window -= size
        _require(stream.window >= 0 and self.window >= 0, f"DATA beyond a window on stream {stream.id}")

    def _read_headers(self, stream: Stream, flags: int, block: bytes) -> None:
        fields = _response(block)
        if not stream.begun:
            stream.begun = True
            _require(b":status" in fields and (stream.greeted or bool(flags & END_STREAM)), repr(fields))
        if flags & END_STREAM:
            _require(not stream.out or stream.cut, f"the end of stream {stream.id} ahead of its messages")
            _require(stream.status is not None, f"an end of stream {stream.id} that nobody ordered")
            assert stream.status is not None
            ends = [end for end in (stream.status, stream.or_status) if end is not None]
            _require(
                any(fields.get(name) == b"%d" % value for name, value in ends),
                f"{fields} on stream {stream.id}, not {ends}",
            )
            if stream.id in self.open:
                self._end(stream, stream.status)
            stream.out.clear()
            if not stream.remote_closed:
                stream.reset = NO_ERROR  # nobody listens any more
            elif stream.reset is None:
                del self.replies[stream.id]

    def settle(self) -> None:
        """All that the windows allow has come, and the windows are open for what the owner can take."""
        _require(not self.control, f"the server owes {list(self.control)}")
        if self.fault is not None:
            return
        _require(not self._interim, f"the server owes interim responses on streams {self._interim}")
        _require(not self._grants, f"windows of streams that are not open: {self._grants}")
        for stream in self.replies.values():
            if stream.id not in self.open:
                raise Wrong(f"the server owes an end on stream {stream.id}")
            if stream.out:
                _require(stream.window <= 0 or self.window <= 0, f"stream {stream.id} waits for no window")
            else:
                _require(stream.status is None, f"the server owes trailers on stream {stream.id}")
            _require(stream.begun or not stream.greeted, f"the server owes headers on stream {stream.id}")
            self._check_credit(stream)
        most, window = self.config.max_connection_window_bytes, self.config.connection_window_bytes
        if self._settings_sent:
            _require(self.credit <= most, f"the connection's window of {self.credit} bytes")
            if not any(stream.held for stream in self.open.values()):
                _require(self.credit > window >> 1, "the connection's window is not opened again")

    def _check_credit(self, stream: Stream) -> None:
        window = self.config.stream_window_bytes
        most = self.config.max_stream_window_bytes
        _require(stream.credit <= most, f"stream {stream.id} has a window of {stream.credit} bytes")
        _require(stream.held_bytes <= 2 * most, f"stream {stream.id} holds {stream.held_bytes} bytes")
        if not stream.held and not stream.remote_closed:
            _require(stream.credit > window >> 1, f"the window of stream {stream.id} is not opened again")

    @property
    def impatient(self) -> bool:
        """Whether the server may end a connection that breaks no rule of HTTP/2."""
        return bool(self.config.flood_burst or self.config.permit_keepalive_time)

    @property
    def table(self) -> tuple[int, int]:
        """How many bytes the client's HPACK table may have, and has."""
        table = self._decoder.header_table
        return self._decoder.header_table_size, sum(
            len(name) + len(value) + 32 for name, value in table.dynamic_entries
        )

    @property
    def waiting(self) -> int:
        """How many streams have something to send that a window holds back."""
        return sum(1 for stream in self.replies.values() if stream.out)


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)


def _unpad(payload: bytes) -> bytes:
    if not payload:
        raise Broken(FRAME_SIZE_ERROR)
    if payload[0] >= len(payload):
        raise Broken(PROTOCOL_ERROR)
    return payload[1 : len(payload) - payload[0]]


_ON = {
    DATA: Model._on_data,
    HEADERS: Model._on_headers,
    PRIORITY: Model._on_priority,
    RST_STREAM: Model._on_rst_stream,
    SETTINGS: Model._on_settings,
    PUSH_PROMISE: Model._on_push_promise,
    PING: Model._on_ping,
    GOAWAY: Model._on_goaway,
    WINDOW_UPDATE: Model._on_window_update,
    CONTINUATION: Model._on_continuation,
}
