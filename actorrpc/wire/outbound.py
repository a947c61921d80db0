"""The sending half of a session: response headers, messages and trailers, within the peer's windows.

What a window or the transport does not take yet waits on its stream, and streams take turns. Call
``take`` when the transport can accept more: it returns at most a little over ``PORTION`` bytes of DATA.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from actorrpc.errors import StatusCode
from actorrpc.wire.compression import Compressed
from actorrpc.wire.flood import Price
from actorrpc.wire.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    HEADERS,
    MAX_WINDOW,
    ErrorCode,
    header_frames,
    rst_stream,
)
from actorrpc.wire.hpack import encode, encode_field
from actorrpc.wire.metadata import percent_encode
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream
from actorrpc.wire.unsplit import Unsplit

__all__ = ["Outbound", "trailers"]

#: DATA that is turned into frames before the transport has taken it.
PORTION = 256 * 1024

_RESPONSE_HEADERS = encode([(b":status", b"200"), (b"content-type", b"application/grpc")])
_CONTINUE = encode([(b":status", b"100")])
_OK_TRAILERS = encode([(b"grpc-status", b"0")])

# A whole unary reply but for the message: HEADERS, the DATA frame's header, the message's prefix.
_REPLY = struct.Struct(f">BHBBL{len(_RESPONSE_HEADERS)}sBHBBLBL")
_OK = struct.Struct(f">BHBBL{len(_OK_TRAILERS)}s")


def trailers(status: StatusCode, message: str = "", metadata: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """The header block that ends a call (PROTOCOL-HTTP2, "Trailers")."""
    if status is StatusCode.OK and not message and not metadata:
        return _OK_TRAILERS
    fields = [(b"grpc-status", b"%d" % status)]
    if message:
        fields.append((b"grpc-message", percent_encode(message)))
    return encode([*fields, *metadata])


class Outbound:
    """What goes out on one connection. ``streams`` is the session's own: a finished stream leaves it."""

    __slots__ = (
        "_blocked",
        "_chunks",
        "_pending",
        "drained",
        "frames",
        "most_reset",
        "peer_initial_window",
        "peer_max_frame_size",
        "reset_streams",
        "send_window",
        "streams",
        "table_announced",
        "unsent_bytes",
        "unsplit",
    )

    def __init__(self, streams: dict[int, Stream]) -> None:
        self.streams = streams
        #: The other direction's: a stream that ends here takes with it what came on it.
        self.unsplit = Unsplit()
        self.send_window = 65_535
        self.peer_initial_window = 65_535
        self.peer_max_frame_size = 16_384
        #: The first header block tells the peer that our table has no room (RFC 7541, 4.2). Whatever
        #: size it sets after that, there is nothing left to shrink, so nothing more to announce.
        self.table_announced = False
        #: How many frames of HEADERS or DATA have gone out; without those that a window has cut to a few
        #: bytes, since a client may have each byte sent by itself (CVE-2019-9511).
        self.frames = 0
        #: Streams whose last waiting byte has become a frame since the session last looked.
        self.drained: list[Stream] = []
        #: What waits on all streams.
        self.unsent_bytes = 0
        #: The last streams that we have reset, the oldest first, and how many of them are kept.
        self.reset_streams: dict[int, None] = {}
        self.most_reset = 100
        self._chunks: list[bytes | memoryview] = []
        self._pending = 0
        #: Streams that wait for the connection's window or for the transport, in the order of their turns.
        self._blocked: dict[int, Stream] = {}

    @property
    def idle(self) -> bool:
        """Whether ``take`` would return nothing."""
        return not self._chunks and (not self._blocked or self.send_window <= 0)

    @property
    def pending(self) -> int:
        """Bytes of frames that the transport has not been given yet."""
        return self._pending

    def control(self, frames: bytes) -> None:
        """Queue frames that no window limits."""
        self._pending += len(frames)
        self._chunks.append(frames)

    def go_on(self, stream: Stream) -> None:
        """Tell a client that waits for it to send its request's body: an interim response (RFC 9113, 8.1)."""
        self._header_block(stream, _CONTINUE, end_stream=False)

    def headers(self, stream: Stream, metadata: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send the response headers, if they have not gone out yet."""
        if not stream.headers_sent and not stream.closed:
            stream.headers_sent = True
            block = _RESPONSE_HEADERS + encode(metadata)
            if stream.encoding:
                block += encode_field(b"grpc-encoding", stream.encoding.encode())
            self._header_block(stream, block, end_stream=False)

    def message(self, stream: Stream, payload: bytes) -> None:
        """Send one message, after the response headers; it waits on the stream while it must."""
        if stream.closed:
            return
        if not stream.headers_sent:
            self.headers(stream)
        flag = b"\1" if isinstance(payload, Compressed) else b"\0"
        framed = flag + len(payload).to_bytes(4, "big") + payload
        length = len(framed)
        if (
            not stream.unsent
            and not self._blocked
            and length <= stream.send_window
            and length <= self.send_window
            and length <= self.peer_max_frame_size
            and self._pending < PORTION
        ):
            stream.send_window -= length
            self.send_window -= length
            self._pending += length
            self.frames += 1
            self._chunks.append(FRAME_HEADER.pack(length >> 16, length & 0xFFFF, DATA, 0, stream.id) + framed)
            return
        stream.wait_to_send(framed)
        self.unsent_bytes += length
        self._send_waiting(stream)

    def reply(self, stream: Stream, payload: bytes) -> None:
        """Send the one message of a call and end it with OK: headers, message and trailers in one piece."""
        length = len(payload) + MESSAGE_PREFIX
        if (
            stream.headers_sent
            or stream.closed
            or stream.encoding
            or not self.table_announced
            or not stream.remote_closed
            or length > stream.send_window
            or length > self.send_window
            or length > self.peer_max_frame_size
            or self._blocked
            or self._pending >= PORTION
        ):
            self.message(stream, payload)
            self.finish(stream, _OK_TRAILERS)
            return
        self.send_window -= length
        self._pending += length
        self.frames += 1
        id = stream.id
        begin = _REPLY.pack(
            0, len(_RESPONSE_HEADERS), HEADERS, END_HEADERS, id, _RESPONSE_HEADERS,
            length >> 16, length & 0xFFFF, DATA, 0, id, 0, length - MESSAGE_PREFIX,
        )  # fmt: skip
        end = _OK.pack(0, len(_OK_TRAILERS), HEADERS, END_HEADERS | END_STREAM, id, _OK_TRAILERS)
        self._chunks.append(begin + payload + end)
        stream.closed = True
        del self.streams[id]

    def finish(self, stream: Stream, block: bytes) -> None:
        """End the call with the trailers ``block``, once all its messages have gone out."""
        if stream.closed or stream.trailers is not None:
            return
        stream.trailers = block
        if not stream.unsent:
            self._end(stream)

    def give_up(self, stream: Stream) -> None:
        """Take a stream out that ``cut_off`` will end: what still comes on it is dropped."""
        self._drop_received(stream)
        stream.receive_unacknowledged = 0  # its window is not opened again
        self._note_reset(stream.id)

    def cut_off(self, stream: Stream, block: bytes) -> None:
        """End a call at once with the trailers ``block``; what waits on it is dropped."""
        if not stream.closed:
            self.drop_unsent(stream)
            stream.trailers = None
            self.finish(stream, block)

    def reset(self, stream: Stream, code: int) -> None:
        """End the stream at once; what waits on it is dropped."""
        if not stream.closed:
            self.rst_stream(stream.id, code)
            self.forget(stream)

    def rst_stream(self, id: int, code: int) -> None:
        """Send RST_STREAM, and keep in mind that the client does not know yet (RFC 9113, 5.1)."""
        self.control(rst_stream(id, code))
        self._note_reset(id)

    def _note_reset(self, id: int) -> None:
        self.reset_streams[id] = None
        if len(self.reset_streams) > self.most_reset:
            del self.reset_streams[next(iter(self.reset_streams))]

    def forget(self, stream: Stream) -> None:
        """Take a stream out: the peer has reset it, or it has ended."""
        stream.closed = True
        self.drop_unsent(stream)
        self._blocked.pop(stream.id, None)
        self._drop_received(stream)

    def _drop_received(self, stream: Stream) -> None:
        """Report nothing more of a stream: drop what waits to be, and the stream."""
        stream.partial.clear()
        if stream.unsplit is not None:
            self.unsplit.drop(stream)
        self.streams.pop(stream.id, None)

    def drop_unsent(self, stream: Stream) -> None:
        """Drop what waits on a stream."""
        self.unsent_bytes -= stream.unsent_bytes
        stream.drop_unsent()

    def abandon(self) -> None:
        """Send nothing more on any stream: the peer has gone."""
        for stream in list(self.streams.values()):
            self.forget(stream)
        self._chunks.clear()
        self._pending = 0
        self.drained.clear()

    def refuse(self, stream: Stream, http: int) -> None:
        """Answer a request that is no gRPC call with a bare HTTP status."""
        stream.headers_sent = True
        stream.trailers = b""
        fields = [(b":status", b"%d" % http)]
        if http == 405:
            fields.append((b"allow", b"POST"))  # RFC 9110, 15.5.6
        self._header_block(stream, encode(fields), end_stream=True)
        self._close(stream)

    def window_opened(self, stream: Stream, increment: int) -> bool:
        """Apply a WINDOW_UPDATE to a stream; False if the window is now too large."""
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW:
            return False
        if stream.unsent and self._send_waiting(stream):
            self.drained.append(stream)
        return True

    def windows_resized(self, change: int) -> bool:
        """Apply a change of SETTINGS_INITIAL_WINDOW_SIZE to all streams; False if a window is now too large.

        A window may become negative (RFC 9113, 6.9.2).
        """
        return not change or all(self.window_opened(each, change) for each in list(self.streams.values()))

    def take(self) -> bytes:
        """The next bytes for the transport; b"" if there are none."""
        if self._blocked:
            self._pump_blocked()
        chunks = self._chunks
        if not chunks:
            return b""
        data = b"".join(chunks)
        chunks.clear()
        self._pending = 0
        return data

    def framed(self) -> bytes:
        """What ``take`` would return, without turning more of what waits into frames."""
        return b"".join(self._chunks)

    def thawed(self, stream: Stream) -> None:
        """Take up a stream with what was waiting on it, in either direction."""
        if stream.unsplit is not None:
            self.unsplit.put(stream, stream.unsplit)
        self.unsent_bytes += stream.unsent_bytes
        if stream.unsent and stream.send_window > 0:
            self._blocked[stream.id] = stream

    def _pump_blocked(self) -> None:
        """Give each waiting stream one frame at a time, so that none starves another."""
        while self._blocked and self.send_window > 0 and self._pending < PORTION:
            id, stream = next(iter(self._blocked.items()))
            del self._blocked[id]
            if self._pump(stream, frames=1):
                self.drained.append(stream)

    def _send_waiting(self, stream: Stream) -> bool:
        """Send what waits on a stream, behind the streams that wait already. Whether all has gone out."""
        if self._blocked:
            self._blocked[stream.id] = stream
            return False
        return self._pump(stream)

    def _pump(self, stream: Stream, frames: int = -1) -> bool:
        """Send what waits on a stream, as far as it may go. Whether all is out, and the call goes on."""
        while stream.unsent and frames:
            if stream.send_window <= 0:
                return False  # the stream's WINDOW_UPDATE comes back here
            room = min(stream.send_window, self.send_window, self.peer_max_frame_size)
            if room <= 0 or self._pending >= PORTION:
                break
            self._data_frame(stream, room)
            frames -= 1
        if stream.unsent:
            self._blocked[stream.id] = stream
            return False
        if stream.trailers is not None:
            self._end(stream)
            return False
        return True

    def _data_frame(self, stream: Stream, room: int) -> None:
        assert stream.unsent
        chunk = stream.unsent[0]
        length = len(chunk)
        if length > room:
            rest = memoryview(chunk)
            chunk, stream.unsent[0] = rest[:room], rest[room:]
            length = room
            self.frames += room >= Price.SMALL
        else:
            stream.unsent.popleft()
            self.frames += 1
        stream.unsent_bytes -= length
        self.unsent_bytes -= length
        stream.send_window -= length
        self.send_window -= length
        self._pending += length
        self._chunks.append(FRAME_HEADER.pack(length >> 16, length & 0xFFFF, DATA, 0, stream.id))
        self._chunks.append(chunk)

    def _end(self, stream: Stream) -> None:
        block = stream.trailers or b""
        if not stream.headers_sent:  # Trailers-Only
            stream.headers_sent = True
            block = _RESPONSE_HEADERS + block
        self._header_block(stream, block, end_stream=True)
        self._close(stream)

    def _close(self, stream: Stream) -> None:
        # The client may still be sending: tell it that nobody listens ("Early Server Closure").
        if not stream.remote_closed:
            self.rst_stream(stream.id, ErrorCode.NO_ERROR)
        self.forget(stream)

    def _header_block(self, stream: Stream, block: bytes, *, end_stream: bool) -> None:
        if not self.table_announced:
            self.table_announced = True
            block = b"\x20" + block
        self.frames += 1
        self.control(
            header_frames(stream.id, block, end_stream=end_stream, max_frame_size=self.peer_max_frame_size)
        )

    def __repr__(self) -> str:
        blocked = f"{len(self._blocked)} blocked"
        return f"<Outbound window {self.send_window}, {self._pending} bytes framed, {blocked}>"
