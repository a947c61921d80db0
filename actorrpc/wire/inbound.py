"""The receiving half of a session: messages out of DATA, how many may wait (``max_mailbox``), and flow
control: the windows that are opened for the peer, and how they grow. The peer's are in ``outbound``.

A message that no handler has taken yet is not acknowledged, so the windows stay closed for it: ``held``
counts the messages that have been reported and not yet ``consumed``. When more than ``max_mailbox`` of them
wait, each stream may still have one, so that no call waits because another call's messages are not taken; the
rest is kept as it came (``unsplit``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from actorrpc.config import Config
from actorrpc.errors import ConnectionFault, RpcError, StatusCode
from actorrpc.wire.compression import IDENTITY, MOST_INFLATED, Compressed, decompress
from actorrpc.wire.events import Event, MessageReceived, StreamRefused
from actorrpc.wire.flood import FloodBudget, Price
from actorrpc.wire.frames import INITIAL_WINDOW, ErrorCode, window_update
from actorrpc.wire.outbound import Outbound
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream
from actorrpc.wire.unsplit import Unsplit

__all__ = ["Inbound"]

#: A waiting message counts as so many bytes more than it has: otherwise, empty messages would cost nothing.
_MESSAGE_OVERHEAD = 64

#: The bytes of all incomplete messages are added up each time that so many more have come.
_INCOMPLETE_STEP = 256 * 1024

#: Pieces of a message are joined until they have this size: a client may send a message byte by byte, and
#: each object takes 40 bytes more.
_PIECE_BYTES = 4096


@dataclass(slots=True, eq=False, repr=False)
class Inbound:
    """The messages of one connection, and its windows for them. WINDOW_UPDATEs and refusals go out by way of
    ``outbound``, and what they cost is charged to ``flood``."""

    _config: Config
    _outbound: Outbound
    _flood: FloodBudget
    unsplit: Unsplit = field(init=False)
    _most: int = field(init=False)
    _limit: int = field(init=False)
    #: Bytes of incomplete messages since their sum was last looked at.
    _grown: int = 0
    #: How many bytes of DATA the peer may send now.
    receive_window: int = INITIAL_WINDOW
    #: Bytes of DATA that have come, and that no WINDOW_UPDATE has answered yet.
    unacknowledged: int = 0
    #: The size of the window, which a WINDOW_UPDATE restores when ``acknowledge_from`` bytes of it have
    #: been used.
    window: int = field(init=False)
    acknowledge_from: int = field(init=False)
    #: The bytes of the messages that have been reported and not consumed, on all streams, with an
    #: overhead for each message; and how many messages they are.
    held: int = 0
    waiting: int = 0

    def __post_init__(self) -> None:
        config = self._config
        self.unsplit = self._outbound.unsplit
        self._most, self._limit = config.max_mailbox, config.max_receive_message_bytes
        self.resize(config.connection_window_bytes)

    def opening(self) -> bytes:
        """The WINDOW_UPDATE that makes the first window as large as ours, to follow SETTINGS; or b""."""
        increment = self.window - self.receive_window
        self.receive_window = self.window
        return window_update(0, increment) if increment else b""

    def resize(self, window: int) -> None:
        """Let the connection's window have so many bytes from now on."""
        self.window = window
        self.acknowledge_from = window >> 1

    def count(self, length: int) -> None:
        """DATA of so many bytes has come, padding included (RFC 9113, 6.9.1), whatever becomes of its stream.

        Raises ConnectionFault if that was more than the window.
        """
        self.receive_window -= length
        if self.receive_window < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window")
        self.unacknowledged += length

    def consumed(self, stream: Stream, length: int) -> None:
        """A reported message of ``length`` bytes has been taken by its handler, or dropped."""
        length += _MESSAGE_OVERHEAD
        self.waiting -= 1
        self.held -= length
        stream.held -= length
        if stream.receive_unacknowledged and not stream.closed:
            self.acknowledge_on(stream)
        if self.unsplit.streams:
            if self.waiting == self._most >> 1:  # not after each message: this looks at all streams
                self.unsplit.has_room()
            elif not stream.held and stream.unsplit is not None:
                self.unsplit.has_room(stream)
        if self.unacknowledged >= self.acknowledge_from:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Open the connection's window again, if half of it has been used.

        It stays closed, for all streams, while a whole window of messages waits.
        """
        if self.unacknowledged < self.acknowledge_from or self.held + self.unsplit.size > self.window:
            return
        limit = self._config.max_connection_window_bytes
        increment, window = _opened(self.window, limit, self.held, self.unacknowledged)
        self.resize(window)
        self.receive_window += increment
        self.unacknowledged = 0
        self._outbound.control(window_update(0, increment))

    def acknowledge_on(self, stream: Stream) -> None:
        """The same for a stream's window, unless half a window of messages waits for its handler.

        What has come of an incomplete message is acknowledged, since it may be larger than the window.
        """
        half = stream.window >> 1
        if (
            stream.receive_unacknowledged < half
            or stream.held > half
            or stream.remote_closed
            or stream.unsplit is not None
        ):
            return
        limit = self._config.max_stream_window_bytes
        increment, stream.window = _opened(stream.window, limit, stream.held, stream.receive_unacknowledged)
        stream.receive_window += increment
        stream.receive_unacknowledged = 0
        self._outbound.control(window_update(stream.id, increment))

    def receive(self, stream: Stream, data: bytes, events: list[Event]) -> bool:
        """Report the messages that ``data`` completes. Returns whether one was reported as the last."""
        if stream.unsplit is not None or (self.waiting > self._most and stream.held and data):
            self.unsplit.add(stream, data)
            return False
        length = len(data) - MESSAGE_PREFIX
        # The usual case, and the only one that matters for speed: a whole message in one frame. The prefix is
        # that length, since the flag before it is 0.
        if int.from_bytes(data[:MESSAGE_PREFIX], "big") == length <= self._limit and not stream.partial:
            self._report(stream, data[MESSAGE_PREFIX:], stream.remote_closed, events)
            return stream.remote_closed
        size = len(data)
        stream.partial_size += size
        if stream.partial:
            if len(stream.partial[-1]) < _PIECE_BYTES:
                stream.partial[-1] += data
            else:
                stream.partial.append(data)
            if stream.partial_size < stream.wanted:
                self._check_incomplete(stream, size, events)
                return False
            data = stream.partial[0] if len(stream.partial) == 1 else b"".join(stream.partial)
        return self._split(stream, data, events)

    def catch_up(self, stream: Stream, events: list[Event]) -> bool:
        """Report as many messages of unsplit DATA as there is room for. Returns whether one was the last."""
        return self._split(stream, self.unsplit.take(stream), events)

    def _split(self, stream: Stream, data: bytes | bytearray, events: list[Event]) -> bool:
        """Report the messages in ``data`` and keep the rest. Returns whether one was reported as the last."""
        begin, size = 0, len(data)
        last = False
        stream.wanted = MESSAGE_PREFIX
        while size - begin >= MESSAGE_PREFIX:
            if self.waiting > self._most and stream.held:
                self._keep_rest(stream, data, begin)
                return False
            flags = data[begin]
            length = int.from_bytes(data[begin + 1 : begin + MESSAGE_PREFIX], "big")
            refusal = self._why_refused(stream, flags, length)
            if refusal is not None:
                self.refuse(stream, *refusal, events)
                return False
            end = begin + MESSAGE_PREFIX + length
            if end > size:
                stream.wanted += length
                break
            payload = bytes(data[begin + MESSAGE_PREFIX : end])
            last = stream.remote_closed and end == size
            self._report(stream, Compressed(payload) if flags else payload, last, events)
            begin = end
        rest = bytes(data[begin:])
        stream.partial = [rest] if rest else ()
        stream.partial_size = len(rest)
        return last

    def _keep_rest(self, stream: Stream, data: bytes | bytearray, begin: int) -> None:
        """Keep what is left of ``data`` as it is: there is no room for more messages."""
        stream.partial = ()
        stream.partial_size = 0
        rest = bytearray(data) if isinstance(data, bytes) else data
        del rest[:begin]  # this moves nothing, while a copy each time would take time squared
        self.unsplit.put(stream, rest)

    def _check_incomplete(self, stream: Stream, size: int, events: list[Event]) -> None:
        """End the call if the incomplete messages of all calls take too much memory. Checked now and then."""
        self._grown += size
        if self._grown < _INCOMPLETE_STEP:
            return
        self._grown = 0
        limit = max(self._config.max_incomplete_bytes, MESSAGE_PREFIX + self._limit)
        if sum(each.partial_size for each in self._outbound.streams.values()) > limit:
            message = f"incomplete messages of all calls take more than {limit} bytes"
            self.refuse(stream, StatusCode.RESOURCE_EXHAUSTED, message, events)

    def _why_refused(self, stream: Stream, flags: int, length: int) -> tuple[StatusCode, str] | None:
        if flags > 1:
            return StatusCode.INTERNAL, f"a message with flags {flags:#x}"
        if length > self._limit:
            too_large = f"a message of {length} bytes, over the limit of {self._limit}"
            return StatusCode.RESOURCE_EXHAUSTED, too_large
        if flags and stream.head.encoding == IDENTITY:
            return StatusCode.INTERNAL, "a compressed message in a call without grpc-encoding"
        return None

    def _report(self, stream: Stream, payload: bytes, last: bool, events: list[Event]) -> None:
        self.waiting += 1
        self.held += len(payload) + _MESSAGE_OVERHEAD
        stream.held += len(payload) + _MESSAGE_OVERHEAD
        events.append(MessageReceived(stream, payload, last))

    def refuse(self, stream: Stream, status: StatusCode, message: str, events: list[Event]) -> None:
        """Take nothing more of a call whose client broke gRPC's framing or a limit, and have it ended."""
        self._outbound.give_up(stream)
        self._flood.unsettled += Price.REFUSED
        events.append(StreamRefused(stream, status, message))

    def decompress(self, stream: Stream, payload: bytes, *, again: bool = False) -> bytes:
        """The payload of a compressed message. One that grows more than texts do has a price, but not
        ``again``, where a move has it handled once more.

        Raises RpcError as ``actorrpc.wire.compression.decompress`` does.
        """
        try:
            data = decompress(stream.head.encoding, payload, self._limit)
        except RpcError:
            self._flood.inflated(min(self._limit, MOST_INFLATED * len(payload)))
            raise
        if not again:
            self._flood.inflated(len(data) - Price.RATIO * len(payload))
        return data

    def inflated_in_vain(self, payload: bytes, packed: int) -> None:
        """What ``decompress`` returned for so many bytes is not a message: all of it has a price."""
        self._flood.inflated(min(len(payload), Price.RATIO * packed))

    def __repr__(self) -> str:
        return f"<Inbound window {self.receive_window} of {self.window}, {self.waiting} messages held>"


def _opened(window: int, limit: int, held: int, used: int) -> tuple[int, int]:
    """By how much to open a window of which so much was used, and its size from then on.

    If the handlers keep up, nothing but the window held the client back: it is doubled.
    """
    if window >= limit or held > window >> 2:
        return used, window
    grown = min(window << 1, limit)
    return used + grown - window, grown
