"""A hostile client: bytes made beforehand, sent as fast as the socket takes them, and what came back.

Nothing here is polite: no window is kept, no SETTINGS acknowledged, and a flood goes on until the server
has ended the connection, the bytes are used up, or the time is.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable

import hpack

from tests.support import raw
from tests.support.raw_client import RawClient

#: How long a server may take to answer what is not a flood.
PATIENCE = 10.0

# Error codes (RFC 9113, 7).
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = range(4)
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = range(5, 10)
ENHANCE_YOUR_CALM = 0xB

#: An opening whose windows take whatever comes, and one whose streams take nothing.
WIDE = raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 2**31 - 1)) + raw.window_update(0, 2**30)
SHUT = raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 0))

_CHUNK = 256 * 1024


class Attacker(RawClient):
    """One connection, and all that the server has said on it, which is counted and not kept."""

    def __init__(self, address: str, opening: bytes = raw.OPEN, *, receive_buffer: int = 0) -> None:
        self._block = b""
        self._decoder = hpack.Decoder()
        #: The server's frames by type.
        self.seen: Counter[int] = Counter()
        #: How often it reset a stream with which code, and the last code for each stream.
        self.reset_codes: Counter[int] = Counter()
        self.resets: dict[int, int] = {}
        #: Response headers and trailers by stream, merged; bytes of DATA by stream.
        self.fields: dict[int, dict[str, str]] = {}
        self.received: Counter[int] = Counter()
        #: Sums of its WINDOW_UPDATEs, by stream; 0 is the connection.
        self.granted: Counter[int] = Counter()
        #: Code and debug data of the last GOAWAY.
        self.goaway: tuple[int, str] | None = None
        self.sent = 0
        super().__init__(address, opening, receive_buffer=receive_buffer)

    # ---- sending

    def flood(self, pieces: Iterable[bytes], *, seconds: float = 5.0, read: bool = True) -> Attacker:
        """Send all pieces; stop early at the server's GOAWAY, a closed connection or when time is up."""
        end = time.monotonic() + seconds
        for piece in _chunks(pieces):
            self._push(piece, end, read, lambda: self.goaway is not None)
            if self.ended or self.goaway is not None or time.monotonic() > end:
                break
        return self

    def send(self, data: bytes) -> Attacker:
        """Send all of it, or find the connection closed, whatever the server says meanwhile."""
        self._push(data, time.monotonic() + PATIENCE, True, lambda: False)
        return self

    def _push(self, data: bytes, end: float, read: bool, stop: Callable[[], bool]) -> None:
        left = memoryview(data)
        while left and not self.ended and not stop() and (patience := end - time.monotonic()) > 0:
            readers = [self.sock] if read else []
            readable, writable, _ = select.select(readers, [self.sock], [], patience)
            if readable:
                self.receive()
            if writable and not self.ended:
                try:
                    count = self.sock.send(left)
                except BlockingIOError:
                    continue
                except OSError:
                    self.ended = True
                    return
                left = left[count:]
                self.sent += count

    def end(self) -> Attacker:
        """Half-close: no more comes from here."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    # ---- receiving

    def wait(self, condition: Callable[[], object], seconds: float = PATIENCE) -> Attacker:
        """Read until the condition is true or the connection closed. Fails when the time is up."""
        end = time.monotonic() + seconds
        while not condition() and not self.ended:
            patience = end - time.monotonic()
            assert patience > 0, f"the server did not answer as expected: {self!r}"
            if select.select([self.sock], [], [], patience)[0]:
                self.receive()
        return self

    def wait_closed(self, seconds: float = PATIENCE) -> Attacker:
        return self.wait(lambda: False, seconds)

    def status(self, stream: int) -> int:
        """The gRPC status that ended a call; waits for it."""
        self.wait(lambda: "grpc-status" in self.fields.get(stream, {}) or stream in self.resets)
        assert stream in self.fields, f"no status for stream {stream}: {self!r}"
        return int(self.fields[stream]["grpc-status"])

    def reset(self, stream: int) -> int:
        """The code with which the server reset a stream; waits for it."""
        self.wait(lambda: stream in self.resets)
        assert stream in self.resets, f"no reset of stream {stream}: {self!r}"
        return self.resets[stream]

    @property
    def text(self) -> bytes:
        """What came instead of frames: the answer to a bad preface."""
        rest = self._splitter.rest
        return rest if not self.seen and rest.startswith((b"HTTP/1.1", b"\x15\x03")) else b""

    def _take(self, frame: raw.Frame) -> None:
        type_, flags, stream, payload = frame
        self.seen[type_] += 1
        if type_ == raw.GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big"), payload[8:].decode()
        elif type_ == raw.RST_STREAM:
            code = self.resets[stream] = int.from_bytes(payload, "big")
            self.reset_codes[code] += 1
        elif type_ in (raw.HEADERS, raw.CONTINUATION):
            self._block += payload
            if flags & raw.END_HEADERS:
                found = {str(name): str(value) for name, value in self._decoder.decode(self._block)}
                self.fields.setdefault(stream, {}).update(found)
                self._block = b""
        elif type_ == raw.WINDOW_UPDATE:
            self.granted[stream] += int.from_bytes(payload, "big")
        elif type_ == raw.DATA:
            self.received[stream] += len(payload)

    # ---- the end

    def abort(self) -> None:
        """Close with a TCP reset, whatever is under way."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def __repr__(self) -> str:
        state = "ended" if self.ended else "open"
        return (
            f"<Attacker {state}, {self.sent} bytes sent, goaway {self.goaway}, "
            f"resets {dict(self.reset_codes)}, frames {dict(self.seen)}>"
        )


def _chunks(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """The pieces joined to what fills a socket: a system call for each would slow the attack down."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


class Requests:
    """Requests as a client with a warm HPACK table sends them: a few bytes each, so that more fit in."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()
        self._next = 1

    def open(self, method: str = "Stateless/Unary", *extra: tuple[str, str], flags: int = 0) -> bytes:
        """HEADERS that begin the next call. ``self.last`` is its stream."""
        self.last = self._next
        self._next += 2
        fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/shapes.{method}"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *extra,
        ]
        return raw.frame(raw.HEADERS, raw.END_HEADERS | flags, self.last, self._encoder.encode(fields))

    def call(self, message: bytes = b"", method: str = "Stateless/Unary", *extra: tuple[str, str]) -> bytes:
        """A whole call with one message."""
        head = self.open(method, *extra)
        return head + raw.data(self.last, raw.message(message), raw.END_STREAM)

    def reset(self) -> bytes:
        """RST_STREAM of the last call."""
        return raw.frame(raw.RST_STREAM, 0, self.last, CANCEL.to_bytes(4, "big"))
