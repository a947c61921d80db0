"""The HTTP/2 + gRPC session of one connection, sans-IO: bytes in, events out, bytes out.

It knows no socket and no clock. The owner

- gives what it has received, and the time, to ``receive_data`` and handles the events, in order;
- sends messages, and what else its role sends, through ``outbound``;
- says ``inbound.consumed`` when a message has left its mailbox, which lets the peer send more;
- writes what ``data_to_send`` returns, whenever the transport can take it;
- handles what ``drain_events`` returns after either, while the session is ``eventful``.

What both ends of a connection do is here; ``actorrpc.wire.server`` has what only a server does. All state is
plain data, so that ``actorrpc.wire.snapshot`` can make the same session of it in another process, at whatever
byte the first one stopped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from actorrpc.config import Config
from actorrpc.errors import ConnectionFault, StatusCode, StreamFault
from actorrpc.wire import frames
from actorrpc.wire.events import Drained, Event, Faulted, StreamEnded, StreamReset
from actorrpc.wire.flood import STEP, FloodBudget, Price, block_price
from actorrpc.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    HEADERS,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PADDED,
    PING,
    PRIORITY_FLAG,
    SETTINGS,
    ErrorCode,
)
from actorrpc.wire.header_block import HeaderBlock
from actorrpc.wire.hpack import SMALL_BLOCK, Decoder, Field
from actorrpc.wire.inbound import Inbound
from actorrpc.wire.keepalive import KEEPALIVE_PING, Allowance, ping_interval
from actorrpc.wire.outbound import Outbound
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream

__all__ = ["Handler", "Session"]

#: What takes a frame: the session, stream, flags, payload, and where to put events.
Handler = Callable[[Any, int, int, bytes, list[Event]], None]


@dataclass(slots=True, eq=False, repr=False)
class Session(ABC):
    """One connection as the protocol sees it. See the module's docstring for what its owner does.

    It has more methods than other classes, since it has one for each type of frame. A role adds what the peer
    sends before frames (``_receive_preface``), what header lists mean (``_on_fields``), and what it says last
    (``_last_words``); and it may have other ``handlers`` of frames.
    """

    #: What takes the frames of each type, but for DATA and HEADERS.
    handlers: ClassVar[Mapping[int, Handler]]

    config: Config
    outbound: Outbound
    #: Open streams by id.
    streams: dict[int, Stream] = field(init=False)
    flood: FloodBudget = field(init=False)
    inbound: Inbound = field(init=False)
    decoder: Decoder = field(default_factory=Decoder)
    allowance: Allowance = field(default_factory=Allowance)
    #: The last stream that the client has begun.
    last_stream: int = 0
    goaway_received: bool = False
    faulted: bool = False
    #: Bytes that the peer sends ahead of its frames, and that have not come yet.
    preface_left: int = 0
    #: Whether the peer's SETTINGS have come.
    greeted: bool = False
    partial_frame: bytes = b""
    #: A header block that has begun, and whose end has not come.
    header_block: HeaderBlock | None = None
    #: The only type that the next frame may have; None: it may have any.
    next_type: int | None = SETTINGS
    _now: float = 0.0

    def __post_init__(self) -> None:
        config = self.config
        self.streams = self.outbound.streams
        self.flood = FloodBudget(config.flood_burst, config.flood_rate)
        self.inbound = Inbound(config, self.outbound, self.flood)
        # The code of a longer string is over the limit, whatever it says: it need not be decoded.
        self.decoder.longest = max(self.decoder.longest, 4 * config.max_header_list_bytes)

    def abandon(self) -> None:
        """Let go of all that waits, in both directions: the peer has gone."""
        self.outbound.abandon()
        self.partial_frame = b""
        self.header_block = None

    def receive_data(self, data: bytes, now: float = 0.0) -> list[Event]:
        """Take bytes from the peer and return what they caused; ``now`` is in seconds, by any clock.

        Never raises for what a peer may send: a broken connection ends with a ``Faulted`` event, after
        which input is ignored.
        """
        events: list[Event] = []
        if self.faulted:
            return events
        self._now = now
        try:
            if self.preface_left:
                data = self._receive_preface(data)
            if self.partial_frame:
                data = self.partial_frame + data
            self.partial_frame = data[self._receive_frames(data, events) :]
            if self.flood.unsettled >= STEP:  # calls have been refused, which does not look at the budget
                self._waste(0)
        except ConnectionFault as error:
            self._fault(error, events)
        outbound = self.outbound
        if outbound.drained:
            self._report_drained(events)
        if outbound.unsplit.due is not None and not self.faulted:
            self._catch_up(events)
        return events

    def data_to_send(self) -> bytes:
        """The next bytes for the transport, a bounded portion; b"" if there are none.

        Call it when the transport can take more. It may cause events: ask ``drain_events``.
        """
        return self.outbound.take()

    @property
    def eventful(self) -> bool:
        """Whether ``drain_events`` may return any."""
        outbound = self.outbound
        return bool(outbound.drained) or outbound.unsplit.due is not None

    def drain_events(self) -> list[Event]:
        """Events caused by ``data_to_send`` and ``inbound.consumed``."""
        events: list[Event] = []
        self._report_drained(events)
        self._catch_up(events)
        return events

    def ping(self) -> None:
        """Ask the peer for a sign of life. Its answer is not an event: any bytes are a sign."""
        self.outbound.control(frames.frame(PING, 0, 0, KEEPALIVE_PING))

    @abstractmethod
    def _receive_preface(self, data: bytes) -> bytes:
        """Take what the peer sends ahead of its frames (``preface_left``); return what is left of ``data``.

        Raises ConnectionFault for anything else.
        """

    @abstractmethod
    def _on_fields(
        self, id: int, end_stream: bool, fields: tuple[Field, ...], size: int, work: int, events: list[Event]
    ) -> None:
        """A header list has come, whose decoding has the price ``work``.

        ``size`` is not 0 if it is over the limit, and some fields were dropped.
        """

    @abstractmethod
    def _last_words(self, error: ConnectionFault) -> bytes:
        """What to tell the peer before the connection is closed for a fault."""

    def _is_idle(self, id: int) -> bool:
        """Whether the client has never begun this stream (RFC 9113, 5.1)."""
        return not id & 1 or id > self.last_stream

    def _receive_frames(self, data: bytes, events: list[Event]) -> int:
        """Handle the complete frames of ``data``; return where the first incomplete one begins."""
        position = 0
        end = len(data)
        unpack = FRAME_HEADER.unpack_from
        while end - position >= 9:
            length, flags, id = unpack(data, position)
            type_ = length & 0xFF
            length >>= 8
            if length > MAX_FRAME_SIZE:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            begin = position + 9
            if end - begin < length:
                break
            position = begin + length
            id &= 0x7FFF_FFFF
            if self.next_type is not None and type_ != self.next_type:
                where = "before SETTINGS" if self.header_block is None else "inside a header block"
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame {where}")
            try:
                if type_ == DATA:
                    self._on_data(id, flags, data[begin:position], events)
                elif type_ == HEADERS:
                    self._on_headers(id, flags, data[begin:position], events)
                else:
                    handler = self.handlers.get(type_)
                    if handler is not None:
                        handler(self, id, flags, data[begin:position], events)
                    else:  # unknown types are ignored (RFC 9113, 4.1)
                        self._waste(Price.EMPTY)
            except StreamFault as fault:
                self._waste(Price.RESET)
                self._reset(id, fault.code, events)
        return position

    def _waste(self, price: int) -> None:
        """Take the price of a frame out of the flood budget. Raises ConnectionFault if it is used up."""
        flood = self.flood
        flood.unsettled += price
        if flood.unsettled >= STEP and not flood.settle(self._now):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that serve no call")

    def _reset(self, id: int, code: int, events: list[Event]) -> None:
        stream = self.streams.get(id)
        if stream is None:
            self.outbound.rst_stream(id, code)
        else:
            self.outbound.reset(stream, code)
            events.append(StreamReset(stream, code))

    def _fault(self, error: ConnectionFault, events: list[Event]) -> None:
        self.faulted = True
        self.partial_frame = b""
        self.outbound.control(self._last_words(error))
        # Its traceback refers to these events: only the garbage collector would free them, and the session.
        events.append(Faulted(error.with_traceback(None)))

    def _on_headers(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if flags & PADDED:
            payload = _strip_padding(payload)
        if flags & PRIORITY_FLAG:
            if len(payload) < 5:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
            payload = payload[5:]
        if not id & 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {id}")
        if flags & END_HEADERS:
            decoder = self.decoder
            fields = decoder.decode(payload)  # whatever becomes of the stream: the table depends on it
            size = len(payload)
            # A small block may have been decoded before. It costs as if all of it were Huffman code.
            work = size // Price.CODED_BYTES
            if size > SMALL_BLOCK:
                work = block_price(len(fields), size, decoder.coded)
            self._on_fields(id, bool(flags & END_STREAM), fields, 0, work, events)
        else:
            limit = self.config.max_header_list_bytes
            self.header_block = HeaderBlock(id, bool(flags & END_STREAM), payload, limit)
            self.next_type = CONTINUATION

    def _on_continuation(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        block = self.header_block
        if block is None or block.stream != id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without its header block")
        self._waste(Price.CONTINUATION)
        block.add(payload)
        if flags & END_HEADERS:
            self.header_block = self.next_type = None
            fields, size, work = block.decode(self.decoder, self._waste)
            self._on_fields(id, block.end_stream, fields, size, work, events)

    def _on_data(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        inbound = self.inbound
        length = len(payload)
        inbound.count(length)
        try:
            stream = self.streams.get(id)
            if stream is None:
                if self._is_idle(id):
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"DATA on idle stream {id}")
                self._on_closed(id)
                return
            if stream.remote_closed:
                raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA after END_STREAM")
            stream.receive_window -= length
            if stream.receive_window < 0:
                raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window")
            stream.receive_unacknowledged += length
            if flags & PADDED:
                payload = _strip_padding(payload)
            if stream.body_left is not None:
                stream.count_body(len(payload), bool(flags & END_STREAM))
            if flags & END_STREAM:
                stream.remote_closed = True  # first: no RST_STREAM for a stream that both have ended
                if not inbound.receive(stream, payload, events) and id in self.streams:
                    self._half_close(stream, events)
                return
            if payload:
                before = len(events)
                had = stream.partial_size
                inbound.receive(stream, payload, events)
                if (
                    length < Price.SMALL
                    and (length < MESSAGE_PREFIX or stream.partial_size)
                    and len(events) == before
                    and _is_fragment(stream, had, length)
                ):
                    self._waste(Price.FRAGMENT)
            else:
                self._waste(Price.EMPTY)
            if not stream.closed:
                inbound.acknowledge_on(stream)
        finally:
            if inbound.unacknowledged >= inbound.acknowledge_from:
                inbound.acknowledge()

    def _half_close(self, stream: Stream, events: list[Event]) -> None:
        stream.remote_closed = True
        if stream.unsplit is not None:
            return  # its messages come first
        if stream.partial_size:
            self.inbound.refuse(stream, StatusCode.INTERNAL, "the call ended inside a message", events)
            return
        events.append(StreamEnded(stream))

    def _on_closed(self, id: int) -> None:
        """DATA or trailers have come on a stream that is closed (RFC 9113, 5.1 and 6.1).

        If we have sent RST_STREAM, for example with an early answer, they may have been on their way. But
        they may not come after the peer's own END_STREAM or RST_STREAM: then this raises StreamFault, once,
        since that makes us send RST_STREAM.
        """
        if id <= self.last_stream and id not in self.outbound.reset_streams:
            raise StreamFault(ErrorCode.STREAM_CLOSED, f"a frame on stream {id}, which is closed")
        self._waste(Price.EMPTY)

    def _catch_up(self, events: list[Event]) -> None:
        """Report messages that came while too many others waited, now that there is room for them."""
        inbound = self.inbound
        for stream in inbound.unsplit.take_due():
            last = inbound.catch_up(stream, events)
            if stream.id not in self.streams or stream.unsplit is not None:
                continue
            if not stream.remote_closed:
                inbound.acknowledge_on(stream)
            elif not last:
                self._half_close(stream, events)
        inbound.acknowledge()

    def _report_drained(self, events: list[Event]) -> None:
        drained = self.outbound.drained
        events.extend(Drained(stream) for stream in drained if not stream.closed)
        drained.clear()

    def _on_settings(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "malformed SETTINGS")
        if flags & ACK:
            self._waste(Price.EMPTY)
            return
        self.greeted = True
        self.next_type = None
        outbound = self.outbound
        self._waste(Price.SETTINGS + len(payload) // 6)
        initial_window = outbound.peer_initial_window
        for start in range(0, len(payload), 6):
            key = int.from_bytes(payload[start : start + 2], "big")
            outbound.apply_setting(key, int.from_bytes(payload[start + 2 : start + 6], "big"))
        # What the new settings allow goes after the ACK: until then, the peer counts by the old ones.
        outbound.control(frames.frame(SETTINGS, ACK, 0))
        if outbound.peer_initial_window != initial_window:
            self._waste(len(self.streams))
        # Once, however often the frame sets it: that may be thousands of times, with a thousand streams open.
        if not outbound.windows_resized(outbound.peer_initial_window - initial_window):
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS overflow a window")

    def _on_ping(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        self._waste(Price.PING)
        if flags & ACK:
            return
        interval = ping_interval(self.config, bool(self.streams))
        if not self.allowance.ping(self._now, interval, self.outbound.frames):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
        self.outbound.control(frames.frame(PING, ACK, 0, payload))

    def _on_window_update(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(payload)} bytes")
        allowance = self.allowance
        outbound = self.outbound
        if allowance.updates:
            allowance.updates -= 1
        elif not allowance.earn(outbound.frames):
            self._waste(Price.WINDOW_UPDATE)
        increment = int.from_bytes(payload, "big") & MAX_WINDOW
        if not id:
            outbound.send_window += increment
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            if outbound.send_window > MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE overflows the window")
            return
        stream = self.streams.get(id)
        if stream is None:
            if self._is_idle(id):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"WINDOW_UPDATE on idle stream {id}")
        elif not increment:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        elif not outbound.window_opened(stream, increment):
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE overflows the window")

    def _on_rst_stream(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"RST_STREAM of {len(payload)} bytes")
        if self._is_idle(id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"RST_STREAM on idle stream {id}")
        stream = self.streams.get(id)
        if stream is None:
            self._waste(Price.EMPTY)
        else:
            self._waste(Price.RESET)
            self.outbound.forget(stream)
            events.append(StreamReset(stream, int.from_bytes(payload, "big")))

    def _on_priority(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        # Deprecated (RFC 9113, 5.3.2): checked, not followed.
        self._waste(Price.EMPTY)
        if not id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(payload) != 5:
            # RST_STREAM may only be sent for a stream that is open.
            fault = StreamFault if id in self.streams else ConnectionFault
            raise fault(ErrorCode.FRAME_SIZE_ERROR, f"PRIORITY of {len(payload)} bytes")

    def _on_goaway(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
        self._waste(Price.EMPTY)
        self.goaway_received = True

    def _on_push_promise(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which gRPC does not use")

    def __repr__(self) -> str:
        name, held = type(self).__name__, self.inbound.held
        return f"<{name} {len(self.streams)} streams, last {self.last_stream}, {held} bytes held>"


Session.handlers = {
    frames.PRIORITY: Session._on_priority,
    frames.RST_STREAM: Session._on_rst_stream,
    SETTINGS: Session._on_settings,
    frames.PUSH_PROMISE: Session._on_push_promise,
    PING: Session._on_ping,
    frames.GOAWAY: Session._on_goaway,
    frames.WINDOW_UPDATE: Session._on_window_update,
    CONTINUATION: Session._on_continuation,
}


def _is_fragment(stream: Stream, had: int, length: int) -> bool:
    """Whether a few bytes of DATA that have not completed a message have not completed its prefix either,
    which some clients send by itself. ``had``: how many bytes of the message had come before."""
    if stream.unsplit is not None:
        return length < MESSAGE_PREFIX
    return not had < MESSAGE_PREFIX <= stream.partial_size


def _strip_padding(payload: bytes) -> bytes:
    """What is left of a padded payload (RFC 9113, 6.1)."""
    if not payload:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
    if payload[0] >= len(payload):
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than its frame")
    return payload[1 : len(payload) - payload[0]]
