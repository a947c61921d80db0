"""The server's role in a session: its client's preface and requests, refusals, and the polite end."""

from __future__ import annotations

from actorrpc.config import Config
from actorrpc.errors import ConnectionFault, StatusCode, StreamFault
from actorrpc.wire import frames
from actorrpc.wire.compression import ACCEPTED, IDENTITY, ONLY_IDENTITY
from actorrpc.wire.events import Event, RequestReceived
from actorrpc.wire.fields import check_trailers, list_size
from actorrpc.wire.flood import Price
from actorrpc.wire.frames import ACK, MAX_WINDOW, PING, PREFACE, ErrorCode, Setting
from actorrpc.wire.head import HeadReader, RequestHead
from actorrpc.wire.hpack import Field
from actorrpc.wire.preface import BadPreface
from actorrpc.wire.responses import Responses, trailers
from actorrpc.wire.session import Session
from actorrpc.wire.stream import Stream

__all__ = ["ServerSession"]

_GOAWAY_PING = b"goaway\0\0"

#: Before SETTINGS have come, a client may begin more streams than it may have.
_FEW_RESET = 100


class ServerSession(Session):
    """The session of a connection from a client. Its owner answers calls by way of ``outbound``."""

    __slots__ = ("_heads", "goaway_sent", "last_refused", "shutting_down")

    outbound: Responses

    def __init__(self, config: Config) -> None:
        super().__init__(config, Responses())
        # As many as a client may have open: it may not have heard of the reset on any of them.
        self.outbound.most_reset = max(_FEW_RESET, config.max_concurrent_streams)
        self.preface_left = len(PREFACE)
        #: Whether the client's answer to the PING of the shutdown is awaited.
        self.shutting_down = False
        #: Whether our GOAWAY has named the last stream, and the last that came after it and was refused.
        self.goaway_sent = False
        self.last_refused = 0
        self._heads = HeadReader()

    def refuse(self, stream: Stream, status: StatusCode, message: str) -> None:
        """Answer a call that no handler has had."""
        self.unserved(stream)
        self.outbound.finish(stream, trailers(status, message))

    def unserved(self, stream: Stream) -> None:
        """Charge for a call that is answered without a handler."""
        self.flood.unsettled += Price.REFUSED
        self.unheard(stream)

    def unheard(self, stream: Stream) -> None:
        """Charge for the header blocks of a call that is over, whoever has ended it, without a handler."""
        self.flood.unsettled += stream.work
        stream.work = 0

    def _receive_preface(self, data: bytes) -> bytes:
        left = self.preface_left
        expected = PREFACE[-left:]
        if data[:left] != expected[: len(data)]:
            raise BadPreface(PREFACE[:-left] + data)
        self.preface_left = max(0, left - len(data))
        if self.preface_left == 0 and not (self.shutting_down or self.goaway_sent):  # see `shutdown`
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

    def _last_words(self, error: ConnectionFault) -> bytes:
        if isinstance(error, BadPreface):
            return error.answer
        return frames.goaway(self.last_stream, error.code, error.message.encode())

    def shutdown(self, why: bytes = b"shutting down") -> None:
        """Tell the client to begin no more calls, and why: the two-step GOAWAY of RFC 9113, 6.8.

        Calls that are on their way are still served; the answer to a PING shows that no more are.
        """
        if not self.goaway_sent and not self.shutting_down and not self.faulted:
            if self.preface_left:
                self._send_settings()  # they must be the first frame (RFC 9113, 3.4)
            self.shutting_down = True
            self.outbound.control(
                frames.goaway(MAX_WINDOW, ErrorCode.NO_ERROR, why) + frames.frame(PING, 0, 0, _GOAWAY_PING)
            )

    def end_shutdown(self) -> None:
        """Serve no more calls than have begun: the PING of the shutdown is answered, or never will be."""
        if self.shutting_down:
            self.shutting_down = False
            self.goaway_sent = True
            self.outbound.control(frames.goaway(self.last_stream, ErrorCode.NO_ERROR))

    def _on_ping(self, id: int, flags: int, payload: bytes, events: list[Event]) -> None:
        super()._on_ping(id, flags, payload, events)
        if flags & ACK and payload == _GOAWAY_PING:
            self.end_shutdown()

    @property
    def over(self) -> bool:
        """Whether the client can begin no more calls, and all have ended."""
        return self.goaway_sent and not self.streams

    def _is_idle(self, id: int) -> bool:
        # After our GOAWAY, the client may have begun streams that we have not counted.
        return not id & 1 or (id > self.last_stream and not self.goaway_sent)

    def _on_fields(
        self, id: int, end_stream: bool, fields: tuple[Field, ...], size: int, work: int, events: list[Event]
    ) -> None:
        if id <= self.last_stream or self.goaway_sent:
            self._on_more_fields(id, end_stream, fields, size, work, events)
            return
        # A new request: in one piece, since each call comes through here.
        self.last_stream = id
        if size:
            self._open_oversize(id, end_stream, size)
            return
        try:
            if len(self.streams) >= self.config.max_concurrent_streams:
                raise StreamFault(ErrorCode.REFUSED_STREAM, "too many calls")
            head, timeout = self._heads.read(fields)
            outbound, window = self.outbound, self.config.stream_window_bytes
            body = head.content_length
            stream = Stream(id, head, timeout, outbound.peer_initial_window, window, window, body)
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
        """Refuse a request with so many fields that only their size is known."""
        if len(self.streams) >= self.config.max_concurrent_streams:
            raise StreamFault(ErrorCode.REFUSED_STREAM, "too many calls")
        head = RequestHead((), "", size)
        window = self.config.stream_window_bytes
        stream = Stream(id, head, "", self.outbound.peer_initial_window, window, window)
        stream.remote_closed = end_stream
        self.streams[id] = stream
        self._refuse_request(stream)

    def _on_more_fields(
        self, id: int, end_stream: bool, fields: tuple[Field, ...], size: int, work: int, events: list[Event]
    ) -> None:
        """A header list that is not a new request: trailers, and whatever comes after our GOAWAY."""
        stream = self.streams.get(id)
        if stream is None or stream.remote_closed:
            self._waste(work)
        else:
            stream.work += work
            if stream.work > Price.SERVED_BLOCK:
                self._waste_beyond(stream)
        if id > self.last_stream:  # the GOAWAY has named the last stream for good (RFC 9113, 6.8)
            if id <= self.last_refused:
                self._waste(Price.EMPTY)
                return
            self.last_refused = id
            raise StreamFault(ErrorCode.REFUSED_STREAM, "shutting down")
        if stream is None:
            # Trailers, or else a request with too low a number, which would never be answered.
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
        """Charge now for what a call pays for its header blocks even if it is served."""
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
        check_trailers(fields)  # what they say is nothing to gRPC
        if stream.body_left is not None:
            stream.count_body(0, end=True)
        self._half_close(stream, events)

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


ServerSession.handlers = {**Session.handlers, PING: ServerSession._on_ping}
