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
from types import TracebackType

import hpack

from actorrpc.net.addresses import address_text, parse_address
from tests.support import raw

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


class Attacker:
    """One connection, and all that the server has said on it."""

    def __init__(self, address: str, opening: bytes = raw.OPEN, *, receive_buffer: int = 0) -> None:
        self._sock = socket.socket()
        if receive_buffer:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._sock.connect(parse_address(address))
        #: As the server names this client.
        self.name = address_text(self._sock.getsockname())
        self._sock.setblocking(False)
        self._partial = b""
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
        #: The server has closed, or reset, the TCP connection.
        self.closed = False
        #: What is no frame: the answer to a bad preface.
        self.text = b""
        self.sent = 0
        self.send(opening)

    # ---- sending

    def flood(self, pieces: Iterable[bytes], *, seconds: float = 5.0, read: bool = True) -> Attacker:
        """Send all pieces; stop early at the server's GOAWAY, a closed connection or when time is up."""
        end = time.monotonic() + seconds
        for piece in _chunks(pieces):
            self._push(piece, end, read, lambda: self.goaway is not None)
            if self.closed or self.goaway is not None or time.monotonic() > end:
                break
        return self

    def send(self, data: bytes) -> Attacker:
        """Send all of it, or find the connection closed, whatever the server says meanwhile."""
        self._push(data, time.monotonic() + PATIENCE, True, lambda: False)
        return self

    def _push(self, data: bytes, end: float, read: bool, stop: Callable[[], bool]) -> None:
        left = memoryview(data)
        while left and not self.closed and not stop() and (patience := end - time.monotonic()) > 0:
            readers = [self._sock] if read else []
            readable, writable, _ = select.select(readers, [self._sock], [], patience)
            if readable:
                self._receive()
            if writable and not self.closed:
                try:
                    count = self._sock.send(left)
                except BlockingIOError:
                    continue
                except OSError:
                    self.closed = True
                    return
                left = left[count:]
                self.sent += count

    def end(self) -> Attacker:
        """Half-close: no more comes from here."""
        self._sock.shutdown(socket.SHUT_WR)
        return self

    # ---- receiving

    def wait(self, condition: Callable[[], object], seconds: float = PATIENCE) -> Attacker:
        """Read until the condition is true or the connection closed. Fails when the time is up."""
        end = time.monotonic() + seconds
        while not condition() and not self.closed:
            patience = end - time.monotonic()
            assert patience > 0, f"the server did not answer as expected: {self!r}"
            if select.select([self._sock], [], [], patience)[0]:
                self._receive()
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

    def _receive(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
            return
        data = self._partial + data
        if not self.seen and (data.startswith((b"HTTP/1.1", b"\x15\x03")) or self.text):
            self.text = data
            self._partial = data
            return
        position = 0
        while len(data) - position >= 9:
            end = position + 9 + int.from_bytes(data[position : position + 3], "big")
            if end > len(data):
                break
            stream = int.from_bytes(data[position + 5 : position + 9], "big")
            self._frame(data[position + 3], data[position + 4], stream, data[position + 9 : end])
            position = end
        self._partial = data[position:]

    def _frame(self, type_: int, flags: int, stream: int, payload: bytes) -> None:
        self.seen[type_] += 1
        if type_ == raw.GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big"), payload[8:].decode()
        elif type_ == raw.RST_STREAM:
            code = self.resets[stream] = int.from_bytes(payload, "big")
            self.reset_codes[code] += 1
        elif type_ in (raw.HEADERS, raw.CONTINUATION):
            self._block += payload
            if flags & raw.END_HEADERS:
                self.fields.setdefault(stream, {}).update(self._decoder.decode(self._block))
                self._block = b""
        elif type_ == raw.WINDOW_UPDATE:
            self.granted[stream] += int.from_bytes(payload, "big")
        elif type_ == raw.DATA:
            self.received[stream] += len(payload)

    # ---- the end

    def abort(self) -> None:
        """Close with a TCP reset, whatever is under way."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        self._sock.close()

    def __enter__(self) -> Attacker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
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
