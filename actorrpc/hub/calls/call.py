"""``ServerCall``: what a hub keeps of one call while it is open; what its handler sends, and backpressure:
while its client does not read, its iterable is not pulled and its input waits; beyond ``max_unsent_bytes``
the call ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Protocol

from google.protobuf.message import DecodeError, Message

from actorrpc.call import Call, Context, Reply
from actorrpc.errors import CallInterrupted, RpcError, StatusCode, status_code
from actorrpc.hub.calls.route import Route
from actorrpc.hub.metering.usage import Part
from actorrpc.hub.runtime.runners import Runner
from actorrpc.hub.securing.facts import ClientFacts, auth_context_of
from actorrpc.metadata import Metadata, encode_metadata
from actorrpc.ref_pb2 import ActorRef
from actorrpc.wire import compression
from actorrpc.wire.compression import ENCODINGS, IDENTITY, KNOWN, Compressed, is_accepted
from actorrpc.wire.head import FEW_FIELDS
from actorrpc.wire.responses import trailers
from actorrpc.wire.server import ServerSession
from actorrpc.wire.stream import Stream

__all__ = ["NOWHERE", "UNSENT_HIGH", "CallHost", "Receiver", "ServerCall"]

#: While more than this waits on a call for the client's window, the call's own inbound messages wait too,
#: and an iterable that its handler returned is not pulled.
UNSENT_HIGH = 64 * 1024


class CallHost(Protocol):
    """The connection, as a call sees it."""

    @property
    def id(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def client_facts(self) -> ClientFacts | None: ...
    @property
    def session(self) -> ServerSession: ...
    def changed(self) -> None:
        """Something is to be written."""

    def settle(self, what: str) -> None:
        """Wait while it is on its way to another hub. Raises RuntimeError where nobody can."""

    def check_here(self, what: str) -> None:
        """As ``settle``, and raise RuntimeError if another hub has it."""

    def leave_child(self, error: BaseException | None = None) -> None:
        """End this process if it is a child, forked in a turn that has now ended."""

    def parse(self, call: ServerCall[Any], payload: bytes, received: int) -> Message:
        """Parse a message that may take much memory, and count it: see ``actorrpc.hub.metering.parsed``."""

    def release(self, call: ServerCall[Any]) -> None:
        """Count it no more."""

    def expire(self, call: ServerCall[Any]) -> None:
        """The call's deadline has passed."""

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """The call has ended: let go of it."""

    def tell_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """A call that interceptors see has ended."""


class Receiver:
    """What the messages of a call are for: the cell of its service, or what stands in its place before the
    call is admitted, and where it is refused. This base of them has nothing to do, nor handlers."""

    __slots__ = ("part", "queued")

    #: It is among those whose turns are to be started.
    queued: bool
    #: What its turns have spent.
    part: Part
    #: What waits there, in order; and what may run side by side.
    mailbox: Sized = ()
    concurrent: Sized = ()
    #: A call's handler is here. (What another one ends has a price.)
    serves = False
    #: Calls wait here for the interceptors' on_call.
    admits = False
    #: The service's, once there is one.
    instance: Any = None
    #: What its on_call_end needs; None: it has none.
    ends: object | None = None

    def start(self) -> None:
        """Run what waits, in the gevent hub's greenlet, until it blocks or may not go on."""

    def push(self, kind: int, call: ServerCall[Any], payload: Any) -> None:
        """Queue a turn of the call, which is started when somebody next looks."""
        call.drop(payload)

    def drained(self, call: ServerCall[Any]) -> None:
        """The client has taken what was sent on the call."""

    def interrupted(self) -> None:
        """A call was cancelled, or its deadline has passed."""

    def close_iterator(self, call: ServerCall[Any]) -> None:
        """Close the iterable of a call that has ended."""

    @property
    def on_its_way(self) -> bool:
        """Something of its call is under way that must arrive before the call can move."""
        return False

    def go_on(self, call: ServerCall[Any]) -> None:
        """The call is served here again, or for the first time, after a move."""

    def left(self) -> None:
        """The call is another hub's now."""

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """A call has ended, where there is an on_call_end."""


#: Where a call stands until it has been looked at.
NOWHERE = Receiver()


@dataclass(slots=True, eq=False, repr=False)
class ServerCall(Call[Reply]):
    """A call on a connection of this hub.

    It has the methods of the public ``Call``, which are half of them, and beside these what the cell and the
    connection do with it.
    """

    host: CallHost
    #: The call's state on the wire, and the HTTP/2 stream that carries it.
    stream: Stream
    route: Route
    deadline: float | None = None
    cancelled: bool = False
    ended: bool = False
    #: The connection was handed to another hub: this object is only what is left of it here.
    moved: bool = False
    request_compressed: bool = False
    compression: str = ""
    _cursor: bytes = b""
    _context: Context | None = None
    _metadata: Metadata | None = None
    #: Metadata that has not gone out yet: with the response headers, and with the status.
    initial: Sequence[tuple[bytes, bytes]] = ()
    trailing: Sequence[tuple[bytes, bytes]] = ()
    receiver: Receiver = NOWHERE
    request: bytes | None = None
    #: Inbound messages that the call cannot take yet, in their order; None: the half-close.
    held: deque[bytes | None] | tuple[()] = ()
    #: A turn that takes the first of them is queued.
    resuming: bool = False
    iterator: Iterator[Message] | None = None
    pulling: bool = False
    #: The turn, without its call, whose handler returned the iterable: it can be repeated elsewhere, if
    #: the cursor has been set since.
    origin: tuple[int, bytes | None] | None = None
    cursor_set: bool = False
    #: What the message of its turn, or of its iterable's, is counted with (``hub.metering.parsed``).
    parsed: int = 0
    #: The greenlet that runs a turn of the call, and since when; not 0 once a handler has had the call.
    runner: Runner | None = None
    since: float = 0.0
    timer: Any = None
    #: The call's own contextvars.Context, while no turn of it runs; None: nothing is set in it.
    variables: Any = None

    @property
    def cursor(self) -> bytes:
        return self._cursor

    @cursor.setter
    def cursor(self, value: bytes) -> None:
        if not isinstance(value, bytes):
            raise TypeError(f"call.cursor must be bytes, not {type(value).__name__}")
        self._check_here("set the cursor")
        self._cursor = value
        self.cursor_set = True

    @property
    def context(self) -> Context:
        if self._context is None:
            self._context = Context(self.host.check_here if self.moved or not self.ended else None)
        return self._context

    @property
    def id(self) -> str:
        return f"{self.host.id}/{self.stream.id}"

    @property
    def method(self) -> str:
        return self.route.path

    @property
    def peer(self) -> str:
        return self.host.peer

    @property
    def client_facts(self) -> ClientFacts | None:
        """What is known for certain of the client whose call it is, or for whose call it is made."""
        return self.host.client_facts

    @property
    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        return auth_context_of(self.client_facts)

    @property
    def identity(self) -> str:
        return ""

    @identity.setter
    def identity(self, value: str) -> None:
        raise RuntimeError("call.identity is set by an interceptor's on_call, or by App(identity=...)")

    @property
    def key(self) -> str:
        return ""

    @property
    def caller(self) -> ActorRef | None:
        return None

    @property
    def made_for(self) -> str:
        """The client's connection for whose call it is made, in the end, by its id; "": for no client's."""
        return self.host.id

    @property
    def waiting(self) -> tuple[str, ...]:
        """The actors that wait for it, from the first."""
        return ()

    def set_key(self, key: str) -> None:
        """Note which actor it is for, for whoever asks before that has the call."""

    @property
    def metadata(self) -> Metadata:
        if self._metadata is not None:
            return self._metadata
        fields = self.stream.head.fields
        metadata = Metadata(fields)
        if len(fields) <= FEW_FIELDS:  # else it would be kept, while the handler waits
            self._metadata = metadata
        return metadata

    def set_compression(self, encoding: str | None) -> None:
        encoding = "" if encoding is None or encoding == IDENTITY else encoding
        if encoding and encoding not in ENCODINGS:
            raise ValueError(f"compression {encoding!r} is not known: use {KNOWN}")
        self._check_here("set the compression")
        stream = self.stream
        if encoding and encoding != stream.encoding:
            accepted = self.host.session.config.compression and stream.head.accept_encoding
            if not accepted or not is_accepted(encoding, accepted):
                encoding = ""
            elif stream.headers_sent:
                raise RuntimeError(f"{self.method}: the headers have been sent, without {encoding}")
            else:
                stream.encoding = encoding
        self.compression = encoding

    def send(self, message: Reply, *, compress: bool = True) -> None:
        if not isinstance(message, self.route.method.reply):
            wanted = self.route.method.reply.DESCRIPTOR.full_name
            raise TypeError(f"{self.method} replies with {wanted}, not {type(message).__name__}")
        if not self.route.method.server_streaming:
            raise RuntimeError(f"{self.method} has a single reply: return it from the handler")
        if self._refuses_more("send"):
            return
        self.send_payload(message.SerializeToString(), compress)

    def send_payload(self, payload: bytes, compress: bool = True) -> None:
        """Send a message that is serialized already. Neither its type nor the call's end is checked."""
        if self.compression and compress:
            payload = compression.compress(self.compression, payload)
        if not self._is_too_much(payload):
            if self.initial:
                self.send_headers()
            self.host.session.outbound.message(self.stream, payload)
            self.host.changed()

    #: Send a topic's message, which comes outside of the call's turns.
    send_published = send_payload

    def finish(self, status: StatusCode = StatusCode.OK, message: str = "") -> None:
        status = status_code(status)
        if status is StatusCode.OK and not self.route.method.server_streaming:
            raise RuntimeError(f"{self.method} has a single reply: return it from the handler")
        if not self._refuses_more("finish"):
            self.end(status, str(message))

    def send_initial_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        self.set_initial_metadata(metadata)
        if not self.ended:
            self.send_headers()

    def set_initial_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        fields = encode_metadata(metadata)
        if self._refuses_more("send metadata"):
            return
        if self.stream.headers_sent:
            raise RuntimeError(f"{self.method}: the initial metadata has been sent already")
        self.initial = _replaced(self.initial, metadata, fields)

    def set_trailing_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        fields = encode_metadata(metadata)
        self._check_here("set metadata")
        self.trailing = _replaced(self.trailing, metadata, fields)

    def _check_here(self, what: str) -> None:
        """Raise RuntimeError if the call is another hub's by now. What ended here may still be changed."""
        if self.moved or not self.ended:
            self.host.check_here(what)

    def _refuses_more(self, what: str) -> bool:
        self.host.settle(what)
        if not self.ended:
            return False
        if self.moved:
            raise RuntimeError(
                f"cannot {what}: {self.method} is served by another hub now. A greenlet of your own does not "
                "move with its call: send from turns, or subscribe the call to a topic"
            )
        if self.cancelled:
            return True
        raise RuntimeError(f"cannot {what}: {self.method} has been finished")

    # ---- what comes from the client

    def take(self, payload: bytes, *, again: bool = False) -> Message:
        """The message for the handler, which the session may forget.

        ``again``: the handler had it in another hub. That is nothing that the client has done, and it has no
        price. Raises RpcError for what is not a message of the method's, for one that there is no room for,
        and what an interceptor raises.
        """
        route = self.route
        session = self.host.session
        received = len(payload)
        if not again:
            session.inbound.consumed(self.stream, received)
        self.request_compressed = isinstance(payload, Compressed)
        try:
            if self.request_compressed:
                payload = session.inbound.decompress(self.stream, payload, again=again)
            try:
                if received <= route.light and not self.request_compressed:
                    message = route.parse(payload)
                else:
                    message = self.host.parse(self, payload, received)
            except DecodeError:
                if self.request_compressed:
                    session.inbound.inflated_in_vain(payload, received)
                wanted = route.method.request.DESCRIPTOR.full_name
                raise RpcError(StatusCode.INTERNAL, f"the message is not a {wanted}") from None
            if route.chain is not None:
                message = route.chain.request(self, message, route.method.request)
                if self.ended:  # by an interceptor, or while it was blocked
                    raise CallInterrupted("the call ended before its handler")
        except BaseException:
            if not again:
                session.unserved(self.stream)
            raise
        return message

    def drop(self, payload: bytes | None) -> None:
        """Nobody takes a message, or the half-close."""
        if payload is not None:
            self.host.session.inbound.consumed(self.stream, len(payload))

    def hold(self, payload: bytes | None) -> None:
        """Keep a message, or None for the half-close, until the call can take it."""
        if not self.held:
            self.held = deque()  # not before one is held: most calls never need it, and it takes 600 bytes
        self.held.append(payload)

    # ---- replies, and the end

    def reply(self, message: Message) -> None:
        """Send the single reply of a call and end it with OK."""
        self.send_reply(message.SerializeToString())

    def reply_payload(self, payload: bytes) -> None:
        """As ``reply``, where it is serialized already."""
        self.send_reply(payload)

    def send_reply(self, payload: bytes) -> None:
        """Send the single reply, which interceptors have seen, and end with OK."""
        stream = self.stream
        outbound = self.host.session.outbound
        if self.compression:
            payload = compression.compress(self.compression, payload)
        if self._is_too_much(payload):
            return
        if self.trailing or self.initial:
            if self.initial:
                self.send_headers()
            outbound.message(stream, payload)
            outbound.finish(stream, trailers(StatusCode.OK, "", self.trailing))
        else:
            outbound.reply(stream, payload)
        self.ended = True
        self.host.call_ended(self, StatusCode.OK, "")

    def _is_too_much(self, payload: bytes) -> bool:
        """Whether a message goes beyond a limit; the call has ended then, with what waits on it."""
        session = self.host.session
        outbound = session.outbound
        config = session.config
        size = len(payload)
        waiting = self.stream.unsent_bytes
        if 0 < config.max_send_message_bytes < size:
            limit = config.max_send_message_bytes
            message = f"a reply of {size} bytes, over the limit of {limit}"
        elif not outbound.unsent_bytes:
            return False
        elif waiting and waiting + size > config.max_unsent_bytes:
            limit = config.max_unsent_bytes
            message = f"{waiting} bytes wait for the client to read them, and no more than {limit} may"
        elif outbound.unsent_bytes + size > config.max_unsent_connection_bytes:
            limit = config.max_unsent_connection_bytes
            message = f"{outbound.unsent_bytes} bytes wait for the client on all its calls, of {limit}"
        else:
            return False
        outbound.drop_unsent(self.stream)
        self.stop(StatusCode.RESOURCE_EXHAUSTED, message)
        return True

    def end(
        self, status: StatusCode, message: str = "", metadata: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """End the call; a second end is ignored."""
        if self.ended:
            return
        block = trailers(status, message, [*self.trailing, *metadata])
        self.ended = True
        if self.initial:
            self.send_headers()
        session = self.host.session
        session.outbound.finish(self.stream, block)
        if not self.served:
            session.unserved(self.stream)
        self.host.changed()
        self.host.call_ended(self, status, message)

    def stop(self, status: StatusCode, message: str) -> None:
        """End the call without its handler's doing: what that sends is dropped, and where it is blocked it is
        interrupted."""
        if not self.ended:
            self.cancelled = True
            self.end(status, message)

    def cancel(self, why: str) -> None:
        """Note that the client wants no more of it: nothing is sent."""
        if not self.ended:
            self.cancelled = self.ended = True
            if not self.served:
                self.host.session.unheard(self.stream)
            self.host.call_ended(self, StatusCode.CANCELLED, why)

    @property
    def served(self) -> bool:
        """Whether a handler has had it."""
        return bool(self.since) and self.receiver.serves

    @property
    def congested(self) -> bool:
        """Whether the client is so far behind that the call's own input should wait."""
        return self.stream.unsent_bytes > UNSENT_HIGH

    def send_headers(self) -> None:
        self.host.session.outbound.headers(self.stream, self.initial)
        self.initial = ()
        self.host.changed()

    # ---- what travels

    @property
    def noted(self) -> Iterable[tuple[str, str | bytes]]:
        """What is in its context, which is not made for the question."""
        return () if self._context is None else self._context.items()

    @property
    def passed_on(self) -> frozenset[str]:
        """The keys of what goes on from its context to the actors that its handler calls."""
        return frozenset() if self._context is None else self._context.passed_on

    def close_context(self) -> None:
        """The call has ended: its context may still be changed, and travels nowhere."""
        if self._context is not None:
            self._context.close()

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "ended" if self.ended else "open"
        return f"<Call {self.id} {self.method} {state}, {self.stream.unsent_bytes} bytes unsent>"


def _replaced(
    fields: Iterable[tuple[bytes, bytes]], metadata: Iterable[str], new: list[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """``fields``, where ``new`` stands for those of ``metadata``'s keys."""
    names = {name.encode() for name in metadata}
    return [field for field in fields if field[0] not in names] + new
