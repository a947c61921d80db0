"""A client that does what a program says: raw frames over one end of a pair of sockets.

It keeps to the server's windows. What it grants the server is the program's business. It is not
``tests.support.raw_client``, since it never waits: it reads and writes what can be, in the hubs' own loop.
"""

from __future__ import annotations

import array
import fcntl
import socket
import termios
from collections import deque
from dataclasses import dataclass, field

import hpack

from tests.support import raw

__all__ = ["Client", "Stream"]

FLOOR = 65_535
LARGE = (1 << 31) - 1


@dataclass
class Stream:
    """One call on the wire: what waits to be sent, and what has come."""

    id: int
    window: int
    #: What the server may send.
    granted: int
    waiting: deque[tuple[bytes, bool]] = field(default_factory=deque)
    #: Messages that have been sent, and whether the half-close was.
    sent: int = 0
    closed: bool = False
    #: Bytes of DATA, and of them what is no whole message yet.
    received: int = 0
    rest: bytes = b""
    messages: list[bytes] = field(default_factory=list)
    status: int | None = None
    text: str = ""
    reset: bool = False


class Client:
    """One connection. ``late``: it grants nothing but by ``grant``. ``deaf``: it does not even read."""

    def __init__(self, sock: socket.socket, window: int, late: bool, wide: bool) -> None:
        self.sock = sock
        sock.setblocking(False)
        self.initial = window
        self.late = late
        self.deaf = False
        self.gone = False
        self.ended = False
        self.streams: dict[int, Stream] = {}
        self.granted = FLOOR
        self.window = FLOOR
        self.peer_initial = FLOOR
        self.pings = self.answered = 0
        self.next_id = 1
        self.goaway = False
        self._decoder = hpack.Decoder()
        self._out = bytearray(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, window)))
        self._splitter = raw.Splitter()
        #: What has been read, by stream, and the server may send again.
        self._owed: dict[int, int] = {}
        if wide:
            self._out += raw.window_update(0, LARGE - FLOOR)
            self.granted = LARGE

    # ---- what a program asks for

    def begin(self, path: str, timeout: int = 0) -> Stream:
        fields = [(n, path if n == ":path" else v) for n, v in raw.request("x")]
        if timeout:
            fields.append(("grpc-timeout", f"{timeout}m"))
        stream = self.streams[self.next_id] = Stream(self.next_id, self.peer_initial, self.initial)
        self.next_id += 2
        self._out += raw.headers(stream.id, fields)
        return stream

    def say(self, stream: Stream, payload: bytes, last: bool) -> None:
        stream.waiting.append((raw.message(payload), last))
        self._push(stream)

    def half_close(self, stream: Stream) -> None:
        stream.waiting.append((b"", True))
        self._push(stream)

    def cancel(self, stream: Stream) -> None:
        stream.reset = True
        stream.waiting.clear()
        self._out += raw.frame(raw.RST_STREAM, 0, stream.id, b"\0\0\0\x08")

    def ping(self) -> None:
        self.pings += 1
        self._out += raw.frame(raw.PING, 0, 0, self.pings.to_bytes(8, "big"))

    def grant(self, stream: Stream | None, bytes_: int) -> None:
        """Open a window, as far as it goes."""
        at = self.granted if stream is None else stream.granted
        bytes_ = min(bytes_, LARGE - at)
        if bytes_ <= 0:
            return
        if stream is None:
            self.granted += bytes_
            self._out += raw.window_update(0, bytes_)
        elif stream.status is None and not stream.reset:
            stream.granted += bytes_
            self._out += raw.window_update(stream.id, bytes_)

    def leave(self) -> None:
        self.gone = True
        self.sock.close()

    # ---- the wire

    @property
    def unread(self) -> bool:
        """Whether the server has not read all that it was sent."""
        buffer = array.array("i", [0])
        fcntl.ioctl(self.sock.fileno(), termios.TIOCOUTQ, buffer)
        return buffer[0] > 0

    @property
    def unsent(self) -> bool:
        """Whether the kernel has not taken all."""
        return bool(self._out)

    def pump(self) -> bool:
        """Read and write what can be; whether anything has come or gone."""
        if self.gone:
            return False
        moved = self._write()
        while not self.deaf and not self.ended and self._read():
            moved = True
        if self._owed:
            self.grant(None, sum(self._owed.values()))
            for id, size in self._owed.items():
                self.grant(self.streams[id], size)
            self._owed.clear()
        return self._write() or moved

    def _write(self) -> bool:
        moved = False
        while self._out:
            try:
                count = self.sock.send(self._out)
            except BlockingIOError:
                break
            except OSError:
                self.ended = True
                self._out.clear()
                break
            del self._out[:count]
            moved = True
        return moved

    def _read(self) -> bool:
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return True
        for frame in self._splitter.split(data):
            self._on_frame(*frame)
        return True

    def _on_frame(self, type_: int, flags: int, id: int, payload: bytes) -> None:
        stream = self.streams.get(id)
        if type_ == raw.DATA and stream is not None:
            self._on_data(stream, payload)
        elif type_ == raw.HEADERS and stream is not None:
            found = {str(name): str(value) for name, value in self._decoder.decode(payload)}
            if flags & raw.END_STREAM:
                assert stream.status is None, "trailers twice"
                stream.status = int(found["grpc-status"])
                stream.text = found.get("grpc-message", "")
                stream.waiting.clear()
        elif type_ == raw.SETTINGS and not flags & raw.ACK:
            self._on_settings(payload)
        elif type_ == raw.WINDOW_UPDATE:
            self._on_window(stream, id, int.from_bytes(payload, "big"))
        elif type_ == raw.PING:
            if flags & raw.ACK:
                self.answered += 1
            else:
                self._out += raw.frame(raw.PING, raw.ACK, 0, payload)
        elif type_ == raw.GOAWAY:
            self.goaway = True

    def _on_data(self, stream: Stream, payload: bytes) -> None:
        size = len(payload)
        self.granted -= size
        stream.granted -= size
        assert self.granted >= 0 and stream.granted >= 0, "DATA beyond a window"
        assert stream.status is None, "DATA after the trailers"
        stream.received += size
        data = stream.rest + payload
        while len(data) >= 5 and len(data) >= (end := 5 + int.from_bytes(data[1:5], "big")):
            stream.messages.append(data[5:end])
            data = data[end:]
        stream.rest = data
        if not self.late:
            self._owed[stream.id] = self._owed.get(stream.id, 0) + size

    def _on_settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            if int.from_bytes(payload[at : at + 2], "big") == raw.INITIAL_WINDOW_SIZE:
                initial = int.from_bytes(payload[at + 2 : at + 6], "big")
                for stream in self.streams.values():
                    stream.window += initial - self.peer_initial
                    self._push(stream)
                self.peer_initial = initial
        self._out += raw.frame(raw.SETTINGS, raw.ACK, 0)

    def _on_window(self, stream: Stream | None, id: int, bytes_: int) -> None:
        if id == 0:
            self.window += bytes_
            for each in self.streams.values():
                self._push(each)
        elif stream is not None:
            stream.window += bytes_
            self._push(stream)

    def _push(self, stream: Stream) -> None:
        """Send messages whole, as the windows allow."""
        while stream.waiting and not stream.closed and not stream.reset and stream.status is None:
            data, last = stream.waiting[0]
            if len(data) > min(stream.window, self.window):
                break
            stream.waiting.popleft()
            stream.window -= len(data)
            self.window -= len(data)
            for at in range(0, max(len(data), 1), 16_384):
                piece = data[at : at + 16_384]
                final = last and at + 16_384 >= len(data)
                self._out += raw.data(stream.id, piece, raw.END_STREAM if final else 0)
            stream.sent += bool(data)
            stream.closed = last

    def __repr__(self) -> str:
        return f"<Client {len(self.streams)} streams{', gone' * self.gone}>"
