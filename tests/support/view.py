"""What a strict client sees of the server's bytes, whatever frames they came in.

Frames are read by hand and header blocks by `hpack`, for a client that allows no dynamic table: it wants
the size update that RFC 7541, 4.2 asks for, as nghttp2 does. A server that breaks RFC 9113 fails the test.
"""

from __future__ import annotations

from collections import Counter

import hpack

from . import raw


class View:
    """Reads all that a server sent. Two servers did the same if ``streams`` and ``control`` are equal.

    Left out of both, since they depend on how the client's bytes were cut: how DATA is divided into
    frames, how streams and control frames interleave, and how WINDOW_UPDATEs are divided; ``granted``
    has their sums.
    """

    def __init__(self, sent: bytes | bytearray, max_frame_size: int = 16_384) -> None:
        data = bytes(sent)
        self.streams: dict[int, list[tuple[str, object]]] = {}
        self.control: list[str] = []
        self.granted: Counter[int] = Counter()
        self._decoder = hpack.Decoder()
        self._decoder.max_allowed_table_size = 0
        self._ended: set[int] = set()
        self._reset: set[int] = set()
        self._block: tuple[int, int, bytes] | None = None
        if data.startswith((b"HTTP/1.1", b"\x15\x03")):
            self.control.append(repr(data))
            return
        for type_, flags, stream, payload in raw.frames(data):
            assert len(payload) <= max_frame_size, f"a frame of {len(payload)} bytes"
            self._frame(type_, flags, stream, payload)
        assert self._block is None, "a header block without its end"

    def _frame(self, type_: int, flags: int, stream: int, payload: bytes) -> None:
        if not self.control:
            assert (type_, flags) == (raw.SETTINGS, 0) or type_ == raw.GOAWAY, (
                "the first frame is not SETTINGS"
            )
        assert (self._block is None) or (type_ == raw.CONTINUATION and stream == self._block[0])
        if stream == 0:
            self._connection_frame(type_, flags, payload)
            return
        assert stream not in self._reset, f"a frame of type {type_} on stream {stream}, which was reset"
        if type_ == raw.RST_STREAM:
            self._reset.add(stream)
            self._add(stream, "reset", int.from_bytes(payload, "big"))
            return
        assert stream not in self._ended, f"a frame of type {type_} on stream {stream}, which has ended"
        if type_ == raw.HEADERS:
            self._header_part(stream, flags, payload, flags)
        elif type_ == raw.CONTINUATION:
            assert self._block is not None
            self._header_part(stream, self._block[1], self._block[2] + payload, flags)
        elif type_ == raw.DATA:
            assert not flags and self._begun(stream), "DATA before headers, or at the end"
            self._add_data(stream, payload)
        else:
            assert type_ == raw.WINDOW_UPDATE, f"a frame of type {type_} on a stream"
            self._grant(stream, payload)

    def _connection_frame(self, type_: int, flags: int, payload: bytes) -> None:
        if type_ == raw.WINDOW_UPDATE:
            self._grant(0, payload)
        elif type_ == raw.GOAWAY:
            last, code = int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")
            self.control.append(f"goaway {code} after {last}")
        else:
            name = {raw.SETTINGS: "settings", raw.PING: "ping"}[type_]
            text = f" {payload.decode('latin-1')}" if type_ == raw.PING else ""
            self.control.append(name + " ack" * (flags & raw.ACK) + text)

    def _grant(self, stream: int, payload: bytes) -> None:
        increment = int.from_bytes(payload, "big")
        assert 0 < increment < 2**31
        self.granted[stream] += increment

    def _header_part(self, stream: int, flags: int, block: bytes, last_flags: int) -> None:
        if not last_flags & raw.END_HEADERS:
            self._block = (stream, flags, block)
            return
        self._block = None
        fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        assert all(name == name.lower() and value == value.strip(b" \t") for name, value in fields), fields
        if flags & raw.END_STREAM:
            self._ended.add(stream)
        if fields == [(b":status", b"100")]:
            assert not flags & raw.END_STREAM and stream not in self.streams, "100 at the end, or late"
            self._add(stream, "interim", fields)
        elif not self._begun(stream):
            assert fields[0][0] == b":status"
            self._add(stream, "headers", fields)
        else:
            assert flags & raw.END_STREAM and fields[0][0] == b"grpc-status"
            self._add(stream, "trailers", fields)

    def _begun(self, stream: int) -> bool:
        return any(kind == "headers" for kind, _ in self.streams.get(stream, ()))

    def _add(self, stream: int, kind: str, what: object) -> None:
        self.streams.setdefault(stream, []).append((kind, what))

    def _add_data(self, stream: int, payload: bytes) -> None:
        seen = self.streams[stream]
        if seen[-1][0] == "data":
            before = seen.pop()[1]
            assert isinstance(before, bytes)
            payload = before + payload
        seen.append(("data", payload))

    def brief(self) -> dict[int, str]:
        """For a person: ``{1: "200, hello, status 0"}``."""
        return {stream: ", ".join(_words(seen)) for stream, seen in sorted(self.streams.items())}

    @property
    def goaway(self) -> str:
        """The last GOAWAY's code and last stream, such as ``1 after 3``; "" if there was none."""
        sent = [line.removeprefix("goaway ") for line in self.control if line.startswith("goaway")]
        return sent[-1] if sent else ""


def _words(seen: list[tuple[str, object]]) -> list[str]:
    words = []
    for kind, what in seen:
        if kind == "reset":
            words.append(f"reset {what}")
        elif isinstance(what, bytes):
            words.extend(_messages(what))
        else:
            assert isinstance(what, list)
            fields = {name.decode(): value.decode() for name, value in what}
            words.extend(fields[name] for name in (":status",) if name in fields)
            words.extend(f"status {fields[name]}" for name in ("grpc-status",) if name in fields)
    return words


def _messages(data: bytes) -> list[str]:
    words = []
    while data:
        length = int.from_bytes(data[1:5], "big")
        words.append(shown(data[5 : 5 + length]) if len(data) >= 5 + length else "part of a message")
        data = data[5 + length :]
    return words


def shown(payload: bytes) -> str:
    """A message for a person: its text, or its length if it is long."""
    return payload.decode("latin-1") if len(payload) <= 24 else f"{len(payload)} bytes"
