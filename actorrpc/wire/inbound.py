"""The receiving half of a session: messages out of DATA, and the windows that are opened for more.

What a handler has not taken is not acknowledged: ``held`` counts the messages that were reported and not
yet ``consumed``. While ``max_mailbox`` of them wait, each stream has one more reported, so that no call waits
for what another one does not take; the rest stays as it came (``unsplit``).
"""

from __future__ import annotations

from actorrpc.config import Config
from actorrpc.errors import ConnectionFault, RpcError, StatusCode
from actorrpc.wire.compression import IDENTITY, MOST_INFLATED, Compressed, decompress
from actorrpc.wire.events import Event, MessageReceived, StreamRefused
from actorrpc.wire.flood import FloodBudget, Price
from actorrpc.wire.frames import ErrorCode, window_update
from actorrpc.wire.outbound import Outbound
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream

__all__ = ["Inbound"]

#: What a waiting message counts beyond its own bytes: without it, empty messages would cost nothing.
_MESSAGE_OVERHEAD = 64

#: The sum of all incomplete messages is taken when so much has come.
_INCOMPLETE_STEP = 256 * 1024

#: Pieces of a message are joined up to this size: a client may send it by the byte, and each object costs 40.
_PIECE_BYTES = 4096


class Inbound:
    """What comes in on one connection, beneath its frames. ``outbound`` takes WINDOW_UPDATEs and refusals,
    and ``flood`` what these cost."""

    __slots__ = (
        "_config",
        "_flood",
        "_grown",
        "_limit",
        "_most",
        "_outbound",
        "acknowledge_from",
        "held",
        "receive_window",
        "unacknowledged",
        "unsplit",
        "waiting",
        "window",
    )

    def __init__(self, config: Config, outbound: Outbound, flood: FloodBudget) -> None:
        self._config = config
        self._outbound = outbound
        self._flood = flood
        self.unsplit = outbound.unsplit
        self._most = config.max_mailbox
        self._limit = config.max_receive_message_bytes
        #: Bytes of incomplete messages since their sum was last looked at.
        self._grown = 0
        self.receive_window = 65_535
        #: Bytes of DATA that the receive window has not been opened for again.
        self.unacknowledged = 0
        #: What the window is opened to again and again, and how much must have been used before.
        self.window = config.connection_window_bytes
        self.acknowledge_from = self.window >> 1
        #: Bytes of whole messages that have been reported and not consumed, on all streams, with an overhead
        #: for each; and how many they are.
        self.held = 0
        self.waiting = 0

    def opening(self) -> bytes:
        """The WINDOW_UPDATE that the first window needs, to go out behind our SETTINGS; or b""."""
        increment = self.window - self.receive_window
        self.receive_window = self.window
        return window_update(0, increment) if increment else b""

    def resize(self, window: int) -> None:
        """Keep the connection's window at so many bytes from now on."""
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
            if self.waiting == self._most >> 1:  # not at each message: it is asked about all streams
                self.unsplit.has_room()
            elif not stream.held and stream.unsplit is not None:
                self.unsplit.has_room(stream)
        if self.unacknowledged >= self.acknowledge_from:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Open the connection's window again, if half of it has been used.

        Only a whole window of messages that wait holds back the other streams.
        """
        if self.unacknowledged < self.acknowledge_from or self.held + self.unsplit.bytes > self.window:
            return
        limit = self._config.max_connection_window_bytes
        increment, window = _opened(self.window, limit, self.held, self.unacknowledged)
        self.resize(window)
        self.receive_window += increment
        self.unacknowledged = 0
        self._outbound.control(window_update(0, increment))

    def acknowledge_on(self, stream: Stream) -> None:
        """As ``acknowledge``, for a stream, unless its handler has half a window of messages to take.

        An incomplete message is acknowledged as it comes: it may be larger than the window.
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
        """Report the messages that ``data`` completes. Whether one of them was reported as the last."""
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
        """Report those messages of unsplit DATA that there is room for. Whether one of them was the last."""
        return self._split(stream, self.unsplit.take(stream), events)

    def _split(self, stream: Stream, data: bytes | bytearray, events: list[Event]) -> bool:
        """Report the messages in ``data`` and keep the rest. Whether one was reported as the last."""
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
        """There is no room for what is left of ``data``."""
        stream.partial = ()
        stream.partial_size = 0
        rest = bytearray(data) if isinstance(data, bytes) else data
        del rest[:begin]  # which moves nothing: a copy each time would take the square of the bytes
        self.unsplit.put(stream, rest)

    def _check_incomplete(self, stream: Stream, size: int, events: list[Event]) -> None:
        """End the call if the incomplete messages of all calls take too much. Looked at now and then."""
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
    """By how much to open a window of which so much was used, and what it is then.

    Where handlers keep up, it was all that held the client back: it is doubled.
    """
    if window >= limit or held > window >> 2:
        return used, window
    grown = min(window << 1, limit)
    return used + grown - window, grown
