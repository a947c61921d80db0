"""The sending half of a session: messages, and what else a role sends, within the windows
that the peer opens. Our own are in ``inbound``.

What a window or the transport does not take yet waits on its stream, and streams take turns. Call
``take`` when the transport can accept more: it returns at most a little over ``PORTION`` bytes of DATA.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field

from actorrpc.errors import ConnectionFault
from actorrpc.wire.compression import Compressed
from actorrpc.wire.flood import Price
from actorrpc.wire.frames import (
    DATA,
    FRAME_HEADER,
    INITIAL_WINDOW,
    LARGEST_FRAME,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    ErrorCode,
    Setting,
    header_frames,
    rst_stream,
)
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream
from actorrpc.wire.unsplit import Unsplit

__all__ = ["PORTION", "Outbound"]

#: DATA that is turned into frames before the transport has taken it.
PORTION = 256 * 1024

#: A message's prefix; and the header of a DATA frame without flags, and the prefix.
_PREFIX = struct.Struct(">?L")
_MESSAGE = struct.Struct(">LxL?L")


@dataclass(slots=True, eq=False, repr=False)
class Outbound(ABC):
    """What goes out on one connection. A role adds what only it sends (``headers``, ``_end``).

    It has the session's ``streams``: one that has ended leaves them here.
    """

    #: Open streams by id.
    streams: dict[int, Stream] = field(default_factory=dict)
    #: Of the other direction: when a stream ends here, what has come on it is dropped.
    unsplit: Unsplit = field(default_factory=Unsplit)
    send_window: int = INITIAL_WINDOW
    peer_initial_window: int = INITIAL_WINDOW
    peer_max_frame_size: int = MAX_FRAME_SIZE
    #: Whether our first header block has told the peer that we use no dynamic table (RFC 7541, 4.2).
    #: Whatever size it allows after that, there is nothing to shrink, and so nothing to announce.
    table_announced: bool = False
    #: How many frames of HEADERS or DATA have gone out. Those that a window has cut to a few bytes do not
    #: count, since a peer can make us send each byte by itself (CVE-2019-9511).
    frames: int = 0
    #: Streams whose last waiting byte has become a frame since the session last looked.
    drained: list[Stream] = field(default_factory=list)
    #: How many bytes wait on all streams.
    unsent_bytes: int = 0
    #: The streams that we have reset last, the oldest first, and how many of them are kept.
    reset_streams: dict[int, None] = field(default_factory=dict)
    most_reset: int = 100
    #: How many bytes of frames wait for ``take``.
    pending: int = 0
    _chunks: list[bytes | memoryview] = field(default_factory=list)
    #: Streams that wait for the connection's window or for the transport, in the order of their turns.
    _blocked: dict[int, Stream] = field(default_factory=dict)

    def control(self, frames: bytes) -> None:
        """Queue frames that no window limits."""
        self.pending += len(frames)
        self._chunks.append(frames)

    def _header_block(self, stream: Stream, block: bytes, *, end_stream: bool) -> None:
        if not self.table_announced:
            self.table_announced = True
            block = b"\x20" + block
        self.frames += 1
        self.control(
            header_frames(stream.id, block, end_stream=end_stream, max_frame_size=self.peer_max_frame_size)
        )

    @property
    def idle(self) -> bool:
        """Whether ``take`` would return nothing."""
        return not self._chunks and (not self._blocked or self.send_window <= 0)

    def take(self) -> bytes:
        """The next bytes for the transport; b"" if there are none."""
        if self._blocked:
            self._pump_blocked()
        chunks = self._chunks
        if not chunks:
            return b""
        data = b"".join(chunks)
        chunks.clear()
        self.pending = 0
        return data

    def framed(self) -> bytes:
        """What ``take`` would return, without turning more of what waits into frames."""
        return b"".join(self._chunks)

    @abstractmethod
    def headers(self, stream: Stream, metadata: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Send the headers that go before all messages, if they have not gone out yet."""

    @abstractmethod
    def _end(self, stream: Stream) -> None:
        """All messages of a call that is ``finish``ed have gone out: end our side of the stream."""

    def message(self, stream: Stream, payload: bytes) -> None:
        """Send one message, after the headers; it waits on the stream while it must."""
        if stream.closed:
            return
        if not stream.headers_sent:
            self.headers(stream)
        compressed = isinstance(payload, Compressed)
        size = len(payload)
        length = MESSAGE_PREFIX + size
        if (
            not stream.unsent
            and not self._blocked
            and length <= stream.send_window
            and length <= self.send_window
            and length <= self.peer_max_frame_size
            and self.pending < PORTION
        ):
            stream.send_window -= length
            self.send_window -= length
            self.pending += length
            self.frames += 1
            self._chunks.append(_MESSAGE.pack(length << 8 | DATA, stream.id, compressed, size) + payload)
            return
        stream.wait_to_send(_PREFIX.pack(compressed, size) + payload)
        self.unsent_bytes += length
        self._send_waiting(stream)

    def drop_unsent(self, stream: Stream) -> None:
        """Drop what waits on a stream."""
        self.unsent_bytes -= stream.unsent_bytes
        stream.unsent = None
        stream.unsent_bytes = 0

    def _pump_blocked(self) -> None:
        """Give each waiting stream one frame at a time, so that none starves another."""
        while self._blocked and self.send_window > 0 and self.pending < PORTION:
            id, stream = next(iter(self._blocked.items()))
            del self._blocked[id]
            if self._pump(stream, frames=1):
                self.drained.append(stream)

    def _send_waiting(self, stream: Stream) -> bool:
        """Send what waits on a stream, after the streams that wait already. Returns whether that was all."""
        if self._blocked:
            self._blocked[stream.id] = stream
            return False
        return self._pump(stream)

    def _pump(self, stream: Stream, frames: int = -1) -> bool:
        """Send as much of what waits as may be sent. Returns whether that was all, and the call goes on."""
        while stream.unsent and frames:
            if stream.send_window <= 0:
                return False  # the stream's WINDOW_UPDATE comes back here
            room = min(stream.send_window, self.send_window, self.peer_max_frame_size)
            if room <= 0 or self.pending >= PORTION:
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
        self.pending += length
        self._chunks.append(FRAME_HEADER.pack(length << 8 | DATA, 0, stream.id))
        self._chunks.append(chunk)

    def apply_setting(self, key: int, value: int) -> None:
        """Take one of the peer's settings (RFC 9113, 6.5.2). ``windows_resized`` applies INITIAL_WINDOW_SIZE
        to the streams that are open. Raises ConnectionFault for a value that is not allowed."""
        if key == Setting.INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value}")
            self.peer_initial_window = value
        elif key == Setting.MAX_FRAME_SIZE:
            if not MAX_FRAME_SIZE <= value <= LARGEST_FRAME:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE {value}")
            self.peer_max_frame_size = value
        elif key == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH {value}")

    def windows_resized(self, change: int) -> bool:
        """Apply a change of SETTINGS_INITIAL_WINDOW_SIZE to all streams; False if a window is now too large.

        A window may become negative (RFC 9113, 6.9.2).
        """
        return not change or all(self.window_opened(each, change) for each in list(self.streams.values()))

    def window_opened(self, stream: Stream, increment: int) -> bool:
        """Apply a WINDOW_UPDATE to a stream; False if the window is now too large."""
        stream.send_window += increment
        if stream.send_window > MAX_WINDOW:
            return False
        if stream.unsent and self._send_waiting(stream):
            self.drained.append(stream)
        return True

    def reset(self, stream: Stream, code: int) -> None:
        """End the stream at once; what waits on it is dropped."""
        if not stream.closed:
            self.rst_stream(stream.id, code)
            self.forget(stream)

    def rst_stream(self, id: int, code: int) -> None:
        """Send RST_STREAM, and remember that the peer may still send on the stream (RFC 9113, 5.1)."""
        self.control(rst_stream(id, code))
        self._note_reset(id)

    def _note_reset(self, id: int) -> None:
        self.reset_streams[id] = None
        if len(self.reset_streams) > self.most_reset:
            del self.reset_streams[next(iter(self.reset_streams))]

    def give_up(self, stream: Stream) -> None:
        """Forget what comes on a stream, and drop what still does: the session's owner will end it."""
        self._drop_received(stream)
        stream.receive_unacknowledged = 0  # its window is not opened again
        self._note_reset(stream.id)

    def forget(self, stream: Stream) -> None:
        """Take a stream out: the peer has reset it, or it has ended."""
        stream.closed = True
        self.drop_unsent(stream)
        self._blocked.pop(stream.id, None)
        self._drop_received(stream)

    def _drop_received(self, stream: Stream) -> None:
        """Report nothing more of a stream: drop it, and what of it has not been reported yet."""
        stream.partial = ()
        if stream.unsplit is not None:
            self.unsplit.drop(stream)
        self.streams.pop(stream.id, None)

    def abandon(self) -> None:
        """Send nothing more on any stream: the peer has gone."""
        for stream in list(self.streams.values()):
            self.forget(stream)
        self._chunks.clear()
        self.pending = 0
        self.drained.clear()

    def thawed(self, stream: Stream) -> None:
        """Take up a stream of a snapshot, and what waits on it in either direction."""
        self.streams[stream.id] = stream
        if stream.unsplit is not None:
            self.unsplit.put(stream, stream.unsplit)
        self.unsent_bytes += stream.unsent_bytes
        if stream.unsent and stream.send_window > 0:
            self._blocked[stream.id] = stream

    def __repr__(self) -> str:
        blocked = f"{len(self._blocked)} blocked"
        return f"<{type(self).__name__} window {self.send_window}, {self.pending} bytes framed, {blocked}>"
