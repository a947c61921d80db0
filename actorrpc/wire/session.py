"""The HTTP/2 + gRPC session of one connection, server role: bytes in, events out, bytes out.

Sans-IO: it knows no socket and no clock. The owner

- gives what it has received, and the time, to ``receive_data`` and handles the events, in order;
- sends messages and trailers through ``outbound``;
- says ``consumed`` when a message has left its mailbox, which lets the client send more;
- writes what ``data_to_send`` returns, whenever the transport can take it;
- handles what ``drain_events`` returns after either, while the session is ``eventful``.

All state is plain data: ``freeze`` gives it as a message, ``thaw`` makes the same session of it in
another process, at whatever byte the first one stopped.
"""

from __future__ import annotations

from actorrpc.config import Config
from actorrpc.errors import ConnectionFault, RpcError, SnapshotError, StatusCode, StreamFault
from actorrpc.pb import snapshot_pb2
from actorrpc.wire import frames
from actorrpc.wire.compression import ACCEPTED, IDENTITY, MOST_INFLATED, ONLY_IDENTITY, decompress
from actorrpc.wire.events import (
    Drained,
    Event,
    Faulted,
    RequestReceived,
    StreamEnded,
    StreamReset,
)
from actorrpc.wire.fields import check_trailers, list_size
from actorrpc.wire.flood import STEP, FloodBudget, Price, block_price
from actorrpc.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    GOAWAY,
    HEADERS,
    MAX_WINDOW,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PRIORITY_FLAG,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ErrorCode,
    Setting,
)
from actorrpc.wire.head import (
    HeadReader,
    RequestHead,
    freeze_head,
    thaw_head,
)
from actorrpc.wire.hpack import SMALL_BLOCK, Decoder, Field
from actorrpc.wire.inbound import Inbound
from actorrpc.wire.outbound import Outbound, trailers
from actorrpc.wire.preface import BadPreface
from actorrpc.wire.stream import MESSAGE_PREFIX, Stream, freeze_fields, thaw_fields

__all__ = ["Session"]

#: Our SETTINGS_MAX_FRAME_SIZE: the smallest that RFC 9113, 6.5.2 allows, and its default; and the largest.
_MAX_FRAME_SIZE = 16_384
_MAX_FRAME_SIZE_EVER = 16_777_215
_GOAWAY_PING = b"goaway\0\0"

#: Keepalive PINGs that came too early, before the client must go (gRFC A8); and how often it may send them
#: while no call is open.
_MAX_PING_STRIKES = 2
_PING_INTERVAL_WITHOUT_CALLS = 7200.0
_KEEPALIVE_PING = b"actorrpc"

#: A client may open windows so often for each frame that it was sent, and have so many of them in store.
_UPDATES_PER_FRAME = 4
_MAX_FREE_UPDATES = 10_000

#: A header block may have so many bytes, or what ``max_header_list_bytes`` needs, and so many fields. (A
#: string has at most 8/5 of the bytes of its Huffman code, and what comes from a table is not copied: so the
#: number of fields bounds what a decoded block takes.)
_MAX_BLOCK = 1024 * 1024
_MAX_FIELDS = 65_536


#: Before SETTINGS have come, a client may begin more streams than it may have.
_FEW_RESET = 100


class Session:
    """One connection as the protocol sees it. See the module's docstring for what its owner does."""

    __slots__ = (
        "_continuation",
        "_frames_at_ping",
        "_frames_at_update",
        "_free_updates",
        "_goaway_ping_sent",
        "_goaway_sent",
        "_heads",
        "_last_ping",
        "_last_refused",
        "_now",
        "_partial",
        "_ping_strikes",
        "_preface_left",
        "_settings_received",
        "config",
        "decoder",
        "faulted",
        "flood",
        "goaway_received",
        "inbound",
        "last_stream",
        "outbound",
        "streams",
    )

    def __init__(self, config: Config) -> None:
        self.config = config
        #: Open streams by id.
        self.streams: dict[int, Stream] = {}
        self.outbound = Outbound(self.streams)
        # All that a client may have open: on none of them may it know yet.
        self.outbound.most_reset = max(_FEW_RESET, config.max_concurrent_streams)
        self.flood = FloodBudget(config.flood_burst, config.flood_rate)
        self.inbound = Inbound(config, self.outbound, self.flood)
        self.decoder = Decoder()
        # Beyond it, what is left coded is over the limit, however it decodes.
        self.decoder.longest = max(self.decoder.longest, 4 * config.max_header_list_bytes)
        self.last_stream = 0
        self.goaway_received = False
        self.faulted = False
        self._goaway_sent = False
        self._goaway_ping_sent = False
        #: The last stream that came after all that, and was refused.
        self._last_refused = 0
        self._settings_received = False
        self._preface_left = len(PREFACE)
        self._partial = b""
        #: A header block that has begun: its stream, whether END_STREAM was set, the block so far.
        self._continuation: tuple[int, bool, bytearray] | None = None
        self._now = 0.0
        #: When the client's last PING came, and how many came too early.
        self._last_ping: float | None = None
        self._ping_strikes = 0
        self._frames_at_ping = 0
        #: WINDOW_UPDATEs that cost nothing, for the frames that had been sent at the last one that did.
        self._free_updates = 0
        self._frames_at_update = 0
        self._heads = HeadReader()

    def abandon(self) -> None:
        """Let go of all that waits, in both directions: the peer has gone."""
        self.outbound.abandon()
        self._partial = b""
        self._continuation = None

    # ---- bytes in

    def receive_data(self, data: bytes, now: float = 0.0) -> list[Event]:
        """Take bytes from the client and return what they caused; ``now`` is in seconds, by any clock.

        Never raises for what a client may send: a broken connection ends with a ``Faulted`` event, after
        which input is ignored.
        """
        events: list[Event] = []
        if self.faulted:
            return events
        self._now = now
        try:
            if self._preface_left:
                data = self._receive_preface(data)
            if self._partial:
                data = self._partial + data
            self._partial = data[self._receive_frames(data, events) :]
            if self.flood.unsettled >= STEP:  # for what was answered without a frame's being at fault
                self._waste(0)
        except ConnectionFault as error:
            self._fault(error, events)
        outbound = self.outbound
        if outbound.drained:
            self._report_drained(events)
        if outbound.unsplit.due and not self.faulted:
            self._catch_up(events)
        return events

    def data_to_send(self) -> bytes:
        """The next bytes for the transport, a bounded portion; b"" if there are none.

        Call it when the transport can take more. It may cause events: ask ``drain_events``.
        """
        return self.outbound.take()

    @property
    def eventful(self) -> bool:
        """Whether ``drain_events`` would return any."""
        outbound = self.outbound
        return bool(outbound.drained) or outbound.unsplit.due

    def drain_events(self) -> list[Event]:
        """Events caused by ``data_to_send`` and ``consumed``."""
        events: list[Event] = []
        self._report_drained(events)
        self._catch_up(events)
        return events

    def refuse(self, stream: Stream, status: StatusCode, message: str) -> None:
        """End a call that no handler has had."""
        self.unserved(stream)
        self.outbound.finish(stream, trailers(status, message))

    def unserved(self, stream: Stream) -> None:
        """The call is answered, or has been, and no handler has had it: that has a price."""
        self.flood.unsettled += Price.REFUSED
        self.unheard(stream)

    def unheard(self, stream: Stream) -> None:
        """The call is over, whoever has ended it, and no handler has had it: pay for its header blocks."""
        self.flood.unsettled += stream.work
        stream.work = 0

    def decompress(self, stream: Stream, payload: bytes, *, again: bool = False) -> bytes:
        """The payload of a compressed message. One that grows more than texts do has a price, but not
        ``again``, where a move has it handled once more.

        Raises RpcError as ``actorrpc.wire.compression.decompress`` does.
        """
        limit = self.config.max_receive_message_bytes
        try:
            data = decompress(stream.head.encoding, payload, limit)
        except RpcError:
            self._inflated(min(limit, MOST_INFLATED * len(payload)))
            raise
        if not again:
            self._inflated(len(data) - Price.RATIO * len(payload))
        return data

    def inflated_in_vain(self, payload: bytes, packed: int) -> None:
        """What ``decompress`` returned for so many bytes is no message: all of it has a price."""
        self._inflated(min(len(payload), Price.RATIO * packed))

    def _inflated(self, size: int) -> None:
        if size > 0:
            self.flood.unsettled += min(size // Price.INFLATED_BYTES, Price.INFLATED)

    def consumed(self, stream: Stream, length: int) -> None:
        """A reported message of ``length`` bytes has been taken by its handler, or dropped."""
        self.inbound.consumed(stream, length)

    def shutdown(self, why: bytes = b"shutting down") -> None:
        """Tell the client to begin no more calls, and why: the two-step GOAWAY of RFC 9113, 6.8.

        Calls it has begun meanwhile are still served; the PING's answer says that no more can be on
        their way.
        """
        if not self._goaway_sent and not self._goaway_ping_sent and not self.faulted:
            if self._preface_left:
                self._send_settings()  # they must be the first frame (RFC 9113, 3.4)
            self._goaway_ping_sent = True
            self.outbound.control(
                frames.goaway(MAX_WINDOW, ErrorCode.NO_ERROR, why) + frames.frame(PING, 0, 0, _GOAWAY_PING)
            )

    def end_shutdown(self) -> None:
        """The client does not answer the PING of the shutdown: what it has begun by now is all there is."""
        if self._goaway_ping_sent:
            self._goaway_ping_sent = False
            self._goaway_sent = True
            self.outbound.control(frames.goaway(self.last_stream, ErrorCode.NO_ERROR))

    def ping(self) -> None:
        """Ask the client for a sign of life. Its answer is no event: any bytes are one."""
        self.outbound.control(frames.frame(PING, 0, 0, _KEEPALIVE_PING))

    @property
    def greeted(self) -> bool:
        """Whether the client's preface and SETTINGS have come."""
        return self._settings_received

    @property
    def shutting_down(self) -> bool:
        """Whether the client's answer to the PING of the shutdown is awaited."""
        return self._goaway_ping_sent

    @property
    def over(self) -> bool:
        """Whether the client can begin no more calls, and all have ended."""
        return self._goaway_sent and not self.streams

    # ---- the preface and the frames

    def _receive_preface(self, data: bytes) -> bytes:
        left = self._preface_left
        expected = PREFACE[-left:]
        if data[:left] != expected[: len(data)]:
            raise BadPreface(PREFACE[:-left] + data)
        self._preface_left = max(0, left - len(data))
        if self._preface_left == 0 and not (self._goaway_ping_sent or self._goaway_sent):  # see `shutdown`
            self._send_settings()
        return data[left:]

    def _send_settings(self) -> None:
        config = self.config
        values = {
            Setting.MAX_CONCURRENT_STREAMS: config.max_concurrent_streams,
            Setting.INITIAL_WINDOW_SIZE: config.stream_window_bytes,
            Setting.MAX_HEADER_LIST_SIZE: config.max_header_list_bytes,
        }
        self.outbound.control(frames.settings(values) + self.inbound.opening())

    def _receive_frames(self, data: bytes, events: list[Event]) -> int:
        """Handle the complete frames of ``data``; return where the first incomplete one begins."""
        position = 0
        end = len(data)
        unpack = FRAME_HEADER.unpack_from
        while end - position >= 9:
            high, low, type_, flags, id = unpack(data, position)
            length = high << 16 | low
            if length > _MAX_FRAME_SIZE:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            begin = position + 9
            if end - begin < length:
                break
            position = begin + length
            id &= 0x7FFF_FFFF
            if self._continuation is not None and type_ != CONTINUATION:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame inside a header block")
            if not self._settings_received and type_ != SETTINGS:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame before SETTINGS")
            try:
                if type_ == DATA:
                    self._on_data(id, flags, data[begin:position], events)
                elif type_ == HEADERS:
                    self._on_headers(id, flags, data[begin:position], events)
                else:
                    handler = _HANDLERS.get(type_)
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

    def _is_idle(self, id: int) -> bool:
        """Whether the client has never begun this stream. Of those that our GOAWAY left out, who knows."""
        return not id & 1 or (id > self.last_stream and not self._goaway_sent)

    # ---- requests

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
            fields = decoder.decode(payload)  # whatever becomes of the stream, the table must follow
            size = len(payload)
            # A small one may have been decoded before, and costs as if it were Huffman code.
            work = size // Price.CODED_BYTES
            if size > SMALL_BLOCK:
                work = block_price(len(fields), size, decoder.coded)
            self._on_fields(id, bool(flags & END_STREAM), fields, 0, work, events)
        else:
            self._continuation = (id, bool(flags & END_STREAM), bytearray(payload))

    def _on_continuation(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if self._continuation is None or self._continuation[0] != id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of no header block")
        self._waste(Price.CONTINUATION)
        _, end_stream, block = self._continuation
        block += payload  # in place: a client may send it by the byte
        # Skipping a block would leave the HPACK table unknown, so an endless one ends the connection.
        if len(block) > max(_MAX_BLOCK, self.config.max_header_list_bytes + _MAX_FRAME_SIZE):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block over the limit")
        if flags & END_HEADERS:
            self._continuation = None
            fields, size, work = self._decode_block(bytes(block))
            self._on_fields(id, end_stream, fields, size, work, events)

    def _decode_block(self, block: bytes) -> tuple[tuple[Field, ...], int, int]:
        """The fields of a block in several frames, 0, and its price; or some of them, and the size of all.

        Of a block so large that its list is over the limit in any usual coding, no more is kept than the
        limit allows, and it is paid for at once.
        """
        limit = self.config.max_header_list_bytes
        large = len(block) > limit + _MAX_FRAME_SIZE
        if large:
            self._waste(len(block) // Price.OVERSIZE_BYTES)
        kept: list[Field] = []
        size = count = work = 0
        decoder = self.decoder
        for fields, length in decoder.decode_parts(block):
            count += len(fields)
            if count > _MAX_FIELDS:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block of too many fields")
            work += block_price(len(fields), length, decoder.coded)
            if large:
                self._waste(work)
                work = 0
            size += list_size(fields)
            if not large or size <= limit or not kept:
                kept += fields
        return tuple(kept), size if large and size > limit else 0, work

    def _on_fields(
        self, id: int, end_stream: bool, fields: tuple[Field, ...], size: int, work: int, events: list[Event]
    ) -> None:
        """A header list has come; ``size`` is not 0 if it is over the limit, and some fields were dropped.

        ``work`` is its price. A call that is served pays what is beyond ``SERVED_BLOCK``, with its trailers.
        """
        if id > self.last_stream and not self._goaway_sent:
            self.last_stream = id
            if size:
                self._open_oversize(id, end_stream, size)
            else:
                self._open(id, end_stream, fields, work, events)
            return
        stream = self.streams.get(id)
        if stream is None or stream.remote_closed:
            self._waste(work)
        else:
            stream.work += work
            if stream.work > Price.SERVED_BLOCK:
                self._waste_beyond(stream)
        if id > self.last_stream:  # the GOAWAY has named the last stream for good (RFC 9113, 6.8)
            if id <= self._last_refused:
                self._waste(Price.EMPTY)
                return
            self._last_refused = id
            raise StreamFault(ErrorCode.REFUSED_STREAM, "shutting down")
        if stream is None:
            # Trailers, then, or something that nobody would answer.
            if fields and fields[0][0][:1] == ":":
                raise ConnectionFault(
                    ErrorCode.PROTOCOL_ERROR, f"a request on stream {id}, after {self.last_stream}"
                )
            self._on_closed(id)
            return
        if stream.remote_closed:
            raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
        if not end_stream:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a second HEADERS without END_STREAM")
        self._on_trailers(stream, fields, size or list_size(fields), events)

    def _waste_beyond(self, stream: Stream) -> None:
        """Take now what is to be paid for a call's header blocks even if it is served."""
        beyond = stream.work - Price.SERVED_BLOCK
        stream.work = Price.SERVED_BLOCK
        self._waste(beyond)

    def _on_trailers(self, stream: Stream, fields: tuple[Field, ...], size: int, events: list[Event]) -> None:
        limit = self.config.max_header_list_bytes
        if size > limit:
            stream.remote_closed = True
            message = f"the trailers take {size} bytes, over the limit of {limit}"
            self.inbound.refuse(stream, StatusCode.RESOURCE_EXHAUSTED, message, events)
            return
        check_trailers(fields)
        if stream.body_left is not None:
            stream.count_body(0, end=True)
        self._half_close(stream, events)

    def _open(
        self, id: int, end_stream: bool, fields: tuple[Field, ...], work: int, events: list[Event]
    ) -> None:
        try:
            if len(self.streams) >= self.config.max_concurrent_streams:
                raise StreamFault(ErrorCode.REFUSED_STREAM, "too many calls")
            head, timeout = self._heads.read(fields)
            outbound = self.outbound
            stream = Stream(id, head, timeout, outbound.peer_initial_window, self.config.stream_window_bytes)
            if end_stream and stream.body_left is not None:
                stream.count_body(0, end=True)
        except StreamFault:
            self._waste(work)
            raise
        stream.work = work
        if work > Price.SERVED_BLOCK:
            self._waste_beyond(stream)
        self.streams[id] = stream
        if (
            head.refusal is not None
            or head.size > self.config.max_header_list_bytes
            or (head.encoding != IDENTITY and not self.config.compression)
        ):
            stream.remote_closed = end_stream
            self._refuse_request(stream)
            return
        if head.expects_continue and not end_stream and head.content_length != 0:
            outbound.go_on(stream)
        events.append(RequestReceived(stream))
        if end_stream:
            self._half_close(stream, events)

    def _open_oversize(self, id: int, end_stream: bool, size: int) -> None:
        """Refuse a request whose fields are too many to be looked at: all that is known is their size."""
        if len(self.streams) >= self.config.max_concurrent_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many calls")
        head = RequestHead((), "", size, {}, None)
        stream = Stream(id, head, "", self.outbound.peer_initial_window, self.config.stream_window_bytes)
        stream.remote_closed = end_stream
        self.streams[id] = stream
        self._refuse_request(stream)

    def _refuse_request(self, stream: Stream) -> None:
        self.unserved(stream)
        head, refusal = stream.head, stream.head.refusal
        limit = self.config.max_header_list_bytes
        if refusal is not None and refusal.http != 200:
            self.outbound.refuse(stream, refusal.http)
        elif refusal is None and head.size > limit:
            message = f"the headers take {head.size} bytes, over the limit of {limit}"
            self.outbound.finish(stream, trailers(StatusCode.RESOURCE_EXHAUSTED, message))
        elif refusal is None or (refusal.status is StatusCode.UNIMPLEMENTED and not self.config.compression):
            message = f"grpc-encoding {head.encoding[:32]!r} is not supported: use {IDENTITY}"
            accepted = [(b"grpc-accept-encoding", ONLY_IDENTITY)]
            self.outbound.finish(stream, trailers(StatusCode.UNIMPLEMENTED, message, accepted))
        else:
            accepted = [(b"grpc-accept-encoding", ACCEPTED)]
            self.outbound.finish(stream, trailers(refusal.status, refusal.message, accepted))

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

        Where we have sent RST_STREAM, with an early answer for one, they may have been on their way. Nothing
        may come behind the client's own END_STREAM or RST_STREAM: raises StreamFault, once, since that sends
        RST_STREAM.
        """
        if id <= self.last_stream and id not in self.outbound.reset_streams:
            raise StreamFault(ErrorCode.STREAM_CLOSED, f"a frame on stream {id}, which is closed")
        self._waste(Price.EMPTY)

    # ---- messages

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
            inbound.count_on(stream, length)
            if flags & PADDED:
                payload = _strip_padding(payload)
            if stream.body_left is not None:
                stream.count_body(len(payload), bool(flags & END_STREAM))
            if flags & END_STREAM:
                stream.remote_closed = True  # first: a stream that both have ended takes no RST_STREAM
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
            inbound.acknowledge()

    def _catch_up(self, events: list[Event]) -> None:
        """Report what came while too many messages waited, where there is room again."""
        inbound = self.inbound
        for stream in self.outbound.unsplit.take_due():
            last = inbound.catch_up(stream, events)
            if stream.id not in self.streams or stream.unsplit is not None:
                continue
            if not stream.remote_closed:
                inbound.acknowledge_on(stream)
            elif not last:
                self._half_close(stream, events)
        inbound.acknowledge()

    # ---- control frames

    def _on_settings(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "malformed SETTINGS")
        if flags & ACK:
            self._waste(Price.EMPTY)
            return
        self._settings_received = True
        outbound = self.outbound
        self._waste(Price.SETTINGS + len(payload) // 6)
        initial_window = outbound.peer_initial_window
        for start in range(0, len(payload), 6):
            key = int.from_bytes(payload[start : start + 2], "big")
            self._apply_setting(key, int.from_bytes(payload[start + 2 : start + 6], "big"))
        # Behind the ACK goes what the new settings allow: a client counts by the old ones until then.
        outbound.control(frames.frame(SETTINGS, ACK, 0))
        if outbound.peer_initial_window != initial_window:
            self._waste(len(self.streams))
        # Once, however often the frame changes it: it may do so thousands of times, on a thousand streams.
        if not outbound.windows_resized(outbound.peer_initial_window - initial_window):
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "SETTINGS overflow a window")

    def _apply_setting(self, key: int, value: int) -> None:
        outbound = self.outbound
        if key == Setting.INITIAL_WINDOW_SIZE:
            if value > MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, f"SETTINGS_INITIAL_WINDOW_SIZE {value}")
            outbound.peer_initial_window = value
        elif key == Setting.MAX_FRAME_SIZE:
            if not _MAX_FRAME_SIZE <= value <= _MAX_FRAME_SIZE_EVER:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_MAX_FRAME_SIZE {value}")
            outbound.peer_max_frame_size = value
        elif key == Setting.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"SETTINGS_ENABLE_PUSH {value}")

    def _on_ping(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"PING of {len(payload)} bytes")
        self._waste(Price.PING)
        if not flags & ACK:
            self._check_ping_interval()
            self.outbound.control(frames.frame(PING, ACK, 0, payload))
        elif payload == _GOAWAY_PING:
            self.end_shutdown()

    def _check_ping_interval(self) -> None:
        """Keepalive enforcement (gRFC A8): strikes, which sending to the client clears."""
        config = self.config
        outbound = self.outbound
        if outbound.frames != self._frames_at_ping:
            self._frames_at_ping = outbound.frames
            self._ping_strikes = 0
        elif self._last_ping is not None:
            interval = config.permit_keepalive_time
            if interval and not self.streams and not config.permit_keepalive_without_calls:
                interval = max(interval, _PING_INTERVAL_WITHOUT_CALLS)
            if self._now - self._last_ping < interval:
                self._ping_strikes += 1
                if self._ping_strikes > _MAX_PING_STRIKES:
                    raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
        self._last_ping = self._now

    def _on_window_update(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"WINDOW_UPDATE of {len(payload)} bytes")
        if self._free_updates:
            self._free_updates -= 1
        else:
            self._pay_for_update()
        increment = int.from_bytes(payload, "big") & MAX_WINDOW
        if not id:
            outbound = self.outbound
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
        elif not self.outbound.window_opened(stream, increment):
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "WINDOW_UPDATE overflows the window")

    def _earned_updates(self) -> int:
        """WINDOW_UPDATEs that cost nothing: a few for each frame that has been sent to the client."""
        sent = self.outbound.frames - self._frames_at_update
        return min(self._free_updates + _UPDATES_PER_FRAME * sent, _MAX_FREE_UPDATES)

    def _pay_for_update(self) -> None:
        earned = self._earned_updates()
        if not earned:
            self._waste(Price.WINDOW_UPDATE)
            return
        self._free_updates = earned - 1
        self._frames_at_update = self.outbound.frames

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
            # A stream that is not open takes no RST_STREAM.
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
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    # ---- ends

    def _reset(self, id: int, code: int, events: list[Event]) -> None:
        stream = self.streams.get(id)
        if stream is None:
            self.outbound.rst_stream(id, code)
        else:
            self.outbound.reset(stream, code)
            events.append(StreamReset(stream, code))

    def _fault(self, error: ConnectionFault, events: list[Event]) -> None:
        self.faulted = True
        self._partial = b""
        if isinstance(error, BadPreface):
            self.outbound.control(error.answer)
        else:
            self.outbound.control(frames.goaway(self.last_stream, error.code, error.message.encode()))
        # Its traceback knows these events: nobody would free them, and the session, but the collector.
        events.append(Faulted(error.with_traceback(None)))

    def _report_drained(self, events: list[Event]) -> None:
        drained = self.outbound.drained
        events.extend(Drained(stream) for stream in drained if not stream.closed)
        drained.clear()

    # ---- moving

    def freeze(self, unsent: bytes = b"", now: float = 0.0) -> snapshot_pb2.SessionSnapshot:
        """All of it, as a message. ``unsent`` is what ``data_to_send`` gave and the transport did not take;
        ``now`` is the time, as for ``receive_data``.

        Raises SnapshotError if the connection has faulted.
        """
        if self.faulted:
            raise SnapshotError("the connection is being closed")
        continuation = self._continuation or (0, False, b"")
        outbound = self.outbound
        spoken = outbound.frames != self._frames_at_ping
        last_ping = None if spoken or self._last_ping is None else now - self._last_ping
        # Calls that sent the same share their head, and so do their snapshots.
        heads: dict[RequestHead, int] = {}
        streams = [
            stream.freeze(heads.setdefault(stream.head, len(heads))) for stream in self.streams.values()
        ]
        snapshot = snapshot_pb2.SessionSnapshot(
            partial_input=self._partial,
            unsent_output=unsent + outbound.framed(),
            preface_left=self._preface_left,
            settings_received=self._settings_received,
            hpack_entries=freeze_fields(self.decoder.entries),
            hpack_max_size=self.decoder.max_size,
            continuation_stream=continuation[0],
            continuation_end_stream=continuation[1],
            continuation_block=bytes(continuation[2]),
            send_window=outbound.send_window,
            flood_spent=self.flood.level(now),
            flood_unsettled=self.flood.unsettled,
            ping_strikes=0 if spoken else self._ping_strikes,
            free_updates=self._earned_updates(),
            last_ping=last_ping,
            peer_initial_window=outbound.peer_initial_window,
            peer_max_frame_size=outbound.peer_max_frame_size,
            table_announced=outbound.table_announced,
            reset_streams=outbound.reset_streams,
            last_stream=self.last_stream,
            goaway_ping_sent=self._goaway_ping_sent,
            goaway_sent=self._goaway_sent,
            last_refused=self._last_refused,
            goaway_received=self.goaway_received,
            heads=[freeze_head(head) for head in heads],
            streams=streams,
        )
        self.inbound.freeze(snapshot)
        return snapshot

    @classmethod
    def thaw(cls, snapshot: snapshot_pb2.SessionSnapshot, config: Config, now: float = 0.0) -> Session:
        """The session that ``freeze`` saw; ``now`` may be by another clock than there.

        Raises SnapshotError for what no session could have been.
        """
        session = cls(config)
        try:
            session._restore(snapshot, now)
        except (ConnectionFault, StreamFault, ValueError) as error:
            raise SnapshotError(f"a session that cannot be: {error}") from error
        return session

    def _restore(self, snapshot: snapshot_pb2.SessionSnapshot, now: float) -> None:
        if snapshot.preface_left > len(PREFACE):
            raise ValueError(f"{snapshot.preface_left} bytes of the preface are awaited")
        if not _MAX_FRAME_SIZE <= snapshot.peer_max_frame_size <= _MAX_FRAME_SIZE_EVER:
            raise ValueError(f"the peer's frames hold {snapshot.peer_max_frame_size} bytes")
        self._partial = snapshot.partial_input
        self._preface_left = snapshot.preface_left
        self._settings_received = snapshot.settings_received
        self.decoder.restore(thaw_fields(snapshot.hpack_entries), snapshot.hpack_max_size)
        if snapshot.continuation_stream:
            self._continuation = (
                snapshot.continuation_stream,
                snapshot.continuation_end_stream,
                bytearray(snapshot.continuation_block),
            )
        self.inbound.restore(snapshot)
        self.flood.restore(snapshot.flood_spent, snapshot.flood_unsettled, now)
        self._now = now
        self._ping_strikes = snapshot.ping_strikes
        self._free_updates = snapshot.free_updates
        if snapshot.HasField("last_ping"):
            self._last_ping = now - snapshot.last_ping
        self.last_stream = snapshot.last_stream
        self._goaway_ping_sent = snapshot.goaway_ping_sent
        self._goaway_sent = snapshot.goaway_sent
        self._last_refused = snapshot.last_refused
        self.goaway_received = snapshot.goaway_received
        outbound = self.outbound
        outbound.send_window = snapshot.send_window
        outbound.peer_initial_window = snapshot.peer_initial_window
        outbound.peer_max_frame_size = snapshot.peer_max_frame_size
        outbound.table_announced = snapshot.table_announced
        outbound.reset_streams = dict.fromkeys(snapshot.reset_streams[-outbound.most_reset :])
        heads = [thaw_head(each) for each in snapshot.heads]
        for each in snapshot.streams:
            if not each.id & 1 or each.id > self.last_stream or each.id in self.streams:
                raise ValueError(f"stream {each.id}, where the last is {self.last_stream}, or twice")
            stream = self.streams[each.id] = Stream.thaw(each, heads)
            outbound.thawed(stream)
        outbound.unsplit.has_room()  # if there is none, nothing comes of it
        if snapshot.unsent_output:
            outbound.control(snapshot.unsent_output)

    def __repr__(self) -> str:
        return (
            f"<Session {len(self.streams)} streams, last {self.last_stream}, {self.inbound.held} bytes held>"
        )


def _is_fragment(stream: Stream, had: int, length: int) -> bool:
    """Whether a few bytes of DATA, which have completed no message, were not a message's prefix, either: some
    clients send that by itself. ``had``: bytes of the message that had come before."""
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


_HANDLERS = {
    PRIORITY: Session._on_priority,
    RST_STREAM: Session._on_rst_stream,
    SETTINGS: Session._on_settings,
    PUSH_PROMISE: Session._on_push_promise,
    PING: Session._on_ping,
    GOAWAY: Session._on_goaway,
    WINDOW_UPDATE: Session._on_window_update,
    CONTINUATION: Session._on_continuation,
}
