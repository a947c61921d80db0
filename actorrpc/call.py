"""``Call``: one RPC, as its handler sees it. It may outlive a turn, and it travels with its connection."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from actorrpc.errors import StatusCode, status_code
from actorrpc.wire import compression
from actorrpc.wire.compression import ENCODINGS, IDENTITY, KNOWN, is_accepted
from actorrpc.wire.head import FEW_FIELDS
from actorrpc.wire.metadata import Metadata, encode_metadata
from actorrpc.wire.outbound import trailers

if TYPE_CHECKING:
    from greenlet import greenlet

    from actorrpc.app import Route
    from actorrpc.wire.session import Session
    from actorrpc.wire.stream import Stream

__all__ = ["Call", "CallHost", "Context", "Metadata"]

Reply = TypeVar("Reply", bound=Message)

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
    def session(self) -> Session: ...
    def changed(self) -> None: ...
    def settle(self, what: str) -> None: ...
    def check_here(self, what: str) -> None: ...
    def call_ended(self, call: Call[Any], status: StatusCode, message: str) -> None: ...
    def tell_ended(self, call: Call[Any], status: StatusCode, message: str) -> None: ...


class Context(MutableMapping[str, str | bytes]):
    """What is noted on a call: ``str`` keys, ``str`` or ``bytes`` values, so that all of it can travel.

    Raises TypeError where another type is set, ValueError for text that is not Unicode, and RuntimeError once
    the call has moved to another hub.
    """

    __slots__ = ("_host", "_values")

    def __init__(self, host: CallHost | None = None) -> None:
        #: Where the call is served; None when it has ended. Not the call, which knows this: so that both are
        #: freed at once.
        self._host = host
        self._values: dict[str, str | bytes] = {}

    def __getitem__(self, key: str) -> str | bytes:
        return self._values[key]

    def __setitem__(self, key: str, value: str | bytes) -> None:
        if not isinstance(key, str):
            raise TypeError(f"call.context: a key must be str, not {key!r}")
        if not isinstance(value, (str, bytes)):
            raise TypeError(
                f"call.context[{key!r}] must be str or bytes, which travel with the call, not {value!r}"
            )
        for text in (key, value):
            if isinstance(text, str) and not _is_unicode(text):
                raise ValueError(f"call.context[{key!r}]: {text!r} is not Unicode: use bytes")
        self._check()
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        self._check()
        del self._values[key]

    def _check(self) -> None:
        if self._host is not None:
            self._host.check_here("change the context of a call")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Context({self._values!r})"


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: no surrogate stands alone in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Call(Generic[Reply]):
    """One RPC. Handlers get it as their last argument; ``self.calls`` lists an actor's open ones."""

    __slots__ = (
        "_context",
        "_cursor",
        "_host",
        "_initial",
        "_metadata",
        "_trailing",
        "cancelled",
        "cell",
        "compression",
        "cursor_set",
        "deadline",
        "ended",
        "held",
        "iterator",
        "moved",
        "origin",
        "parsed",
        "pulling",
        "request",
        "request_compressed",
        "resuming",
        "route",
        "runner",
        "since",
        "stream",
        "stream_id",
        "timer",
        "variables",
    )

    def __init__(self, host: CallHost, stream: Stream, route: Route) -> None:
        self._host = host
        #: The call's state on the wire, and the HTTP/2 stream that carries it: the hub's business.
        self.stream = stream
        self.stream_id = stream.id
        self.route = route
        #: When the call must be over, on ``time.monotonic``'s clock of this hub; None: no deadline.
        self.deadline: float | None = None
        self._cursor = b""
        self._context: Context | None = None
        #: The client has cancelled the call, its deadline has passed, or its connection has gone.
        self.cancelled = False
        #: Nothing more can be sent: the call was finished, or cancelled.
        self.ended = False
        #: The connection was handed to another hub: this object is only what is left of it here.
        self.moved = False
        #: Whether the message of this turn came compressed.
        self.request_compressed = False
        #: What the next messages are compressed with; "" if nothing. See ``set_compression``.
        self.compression = ""
        self._metadata: Metadata | None = None
        self._initial: list[tuple[bytes, bytes]] | None = None
        self._trailing: list[tuple[bytes, bytes]] = []
        # What the hub keeps about a call while it is open.
        self.cell: Any = None
        self.request: bytes | None = None
        #: Inbound messages that the call cannot take yet, in their order; None: the half-close.
        self.held: deque[bytes | None] | tuple[()] = ()
        #: A turn that takes the first of them is queued.
        self.resuming = False
        self.iterator: Iterator[Message] | None = None
        self.pulling = False
        #: The turn, without its call, whose handler returned the iterable: it can be repeated elsewhere, if
        #: the cursor has been set since.
        self.origin: tuple[int, bytes | None] | None = None
        self.cursor_set = False
        #: What the message of its turn, or of its iterable's, is counted with (``hub.metering.parsed``).
        self.parsed = 0
        #: The greenlet that runs a turn of the call, and since when; not 0 once a handler has had the call.
        self.runner: greenlet | None = None
        self.since = 0.0
        self.timer: Any = None
        #: The call's own contextvars.Context, while no turn of it runs; None: nothing is set in it.
        self.variables: Any = None

    @property
    def cursor(self) -> bytes:
        """Bytes of the handler's own that travel with the call. Raises TypeError if set to anything else.

        A handler that returns an iterable and sets the cursor before each reply is called again after a
        move, with the same message and this cursor. Without it, the connection stays where it is until the
        iterable is exhausted.

        Each reply is pulled in a turn: an iterable that waits between two of them keeps the actor's other
        turns waiting, unless its method is ``concurrent``, and a move. To send what comes, return None and
        keep the call, or subscribe it to a topic.
        """
        return self._cursor

    @cursor.setter
    def cursor(self, value: bytes) -> None:
        if not isinstance(value, bytes):
            raise TypeError(f"call.cursor must be bytes, not {type(value).__name__}")
        if self.moved or not self.ended:
            self._host.check_here("set the cursor")
        self._cursor = value
        self.cursor_set = True

    @property
    def context(self) -> Context:
        """What interceptors and handlers note on the call, such as who the caller is: it travels with it."""
        if self._context is None:
            self._context = Context(self._host if self.moved or not self.ended else None)
        return self._context

    @property
    def id(self) -> str:
        """Unique among the calls of all hubs, and the same after a move."""
        return f"{self._host.id}/{self.stream_id}"

    @property
    def method(self) -> str:
        """Such as ``/chat.Chat/Listen``."""
        return self.route.path

    @property
    def peer(self) -> str:
        """The client's address, such as ``127.0.0.1:4242`` or ``[::1]:4242``."""
        return self._host.peer

    @property
    def identity(self) -> str:
        """Whose call it is; "" if nobody has said so. A connection's calls of one identity share an actor of
        each service, and those of another never get to see it.

        It is set once, by an interceptor's ``on_call`` or by the function that ``App(identity=...)`` was
        given. Raises RuntimeError where it is set again or later, TypeError for anything but a str, and
        ValueError for more than 1024 characters, or text that is not Unicode.
        """
        return ""

    @identity.setter
    def identity(self, value: str) -> None:
        raise RuntimeError("call.identity is set by an interceptor's on_call, or by App(identity=...)")

    @property
    def metadata(self) -> Metadata:
        """What the client sent with the call."""
        if self._metadata is not None:
            return self._metadata
        fields = self.stream.head.fields
        metadata = Metadata(fields)
        if len(fields) <= FEW_FIELDS:  # else it would be kept, while the handler waits
            self._metadata = metadata
        return metadata

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None if the call has none."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic())

    def set_compression(self, encoding: str | None) -> None:
        """Compress the call's next messages with ``"gzip"`` or ``"deflate"``; None or ``"identity"``: do not.

        A client that does not accept the encoding gets its messages as they are, and so do all where
        ``Config.compression`` is off. Raises ValueError for another name, and RuntimeError if the response
        headers, which name the encoding, have gone out with another one.
        """
        encoding = "" if encoding is None or encoding == IDENTITY else encoding
        if encoding and encoding not in ENCODINGS:
            raise ValueError(f"compression {encoding!r} is not known: use {KNOWN}")
        if self.moved or not self.ended:
            self._host.check_here("set the compression")
        stream = self.stream
        if encoding and encoding != stream.encoding:
            accepted = self._host.session.config.compression and stream.head.accept_encoding
            if not accepted or not is_accepted(encoding, accepted):
                encoding = ""
            elif stream.headers_sent:
                raise RuntimeError(f"{self.method}: the headers have been sent, without {encoding}")
            else:
                stream.encoding = encoding
        self.compression = encoding

    def send(self, message: Reply, *, compress: bool = True) -> None:
        """Send one message. What the client's window does not take waits on the call: this never blocks,
        except in a greenlet of your own while the connection is on its way to another hub.

        It is compressed if ``set_compression`` said so, unless ``compress`` is False.

        When more than ``max_unsent_bytes`` would wait on the call, or ``max_unsent_connection_bytes`` on its
        connection, or the message is larger than ``max_send_message_bytes``, the call ends with
        RESOURCE_EXHAUSTED instead. On a call that was cancelled the message is dropped. Raises TypeError for
        a message of another type than the method's, and RuntimeError if the handler has already finished
        the call, if the method has a single reply, in another thread than the hub's, and once the call has
        moved to another hub.
        """
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
            if self._initial:
                self._send_headers()
            self._host.session.outbound.message(self.stream, payload)
            self._host.changed()

    #: Send a topic's message, which comes outside of the call's turns.
    send_published = send_payload

    def finish(self, status: StatusCode = StatusCode.OK, message: str = "") -> None:
        """End the call with a status, after all that was sent on it.

        Ignored on a call that was cancelled; raises RuntimeError if the call was finished before, and for
        OK where the method has a single reply, which the handler returns; TypeError or ValueError for what is
        no status.
        """
        status = status_code(status)
        if status is StatusCode.OK and not self.route.method.server_streaming:
            raise RuntimeError(f"{self.method} has a single reply: return it from the handler")
        if not self._refuses_more("finish"):
            self.end(status, str(message))

    def send_initial_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        """Send the response headers now, with metadata of the handler's.

        Raises ValueError or TypeError for metadata that cannot be sent, and RuntimeError if the headers
        have gone out, which the first message or the end of the call sees to.
        """
        self.set_initial_metadata(metadata)
        if not self.ended:
            self._send_headers()

    def set_initial_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        """Give metadata that goes out with the response headers, whenever they do: a key replaces what it
        was given before, an empty list removes it. Raises as ``send_initial_metadata`` does."""
        fields = encode_metadata(metadata)
        if self._refuses_more("send metadata"):
            return
        if self.stream.headers_sent:
            raise RuntimeError(f"{self.method}: the initial metadata has been sent already")
        self._initial = _replaced(self._initial or [], metadata, fields)

    def set_trailing_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        """Give metadata that goes out with the status: a key replaces what it was given before, an empty
        list removes it. Raises ValueError or TypeError for metadata that cannot be sent."""
        fields = encode_metadata(metadata)
        if self.moved or not self.ended:
            self._host.check_here("set metadata")
        self._trailing = _replaced(self._trailing, metadata, fields)

    # ---- for the hub

    def reply(self, message: Message) -> None:
        """Send the single reply of a call and end it with OK."""
        stream = self.stream
        outbound = self._host.session.outbound
        payload = message.SerializeToString()
        if self.compression:
            payload = compression.compress(self.compression, payload)
        if self._is_too_much(payload):
            return
        if self._trailing or self._initial:
            if self._initial:
                self._send_headers()
            outbound.message(stream, payload)
            outbound.finish(stream, trailers(StatusCode.OK, "", self._trailing))
        else:
            outbound.reply(stream, payload)
        self.ended = True
        self._host.call_ended(self, StatusCode.OK, "")

    def _is_too_much(self, payload: bytes) -> bool:
        """Whether a message goes beyond a limit; the call has ended then, with what waits on it."""
        session = self._host.session
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
        block = trailers(status, message, [*self._trailing, *metadata])
        self.ended = True
        if self._initial:
            self._send_headers()
        session = self._host.session
        session.outbound.finish(self.stream, block)
        if not self._served:
            session.unserved(self.stream)
        self._host.changed()
        self._host.call_ended(self, status, message)

    @property
    def _served(self) -> bool:
        """Whether a handler has had it. (A hub may end a call before it has a cell.)"""
        return bool(self.since) and self.cell.serves

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
            if not self._served:
                self._host.session.unheard(self.stream)
            self._host.call_ended(self, StatusCode.CANCELLED, why)

    def hold(self, payload: bytes | None) -> None:
        """Keep a message, or None for the half-close, until the call can take it."""
        if not self.held:
            self.held = deque()  # not before one is held: most calls never need it, and it takes 600 bytes
        self.held.append(payload)

    @property
    def noted(self) -> Iterable[tuple[str, str | bytes]]:
        """What is in its context, which is not made for the question."""
        return () if self._context is None else self._context._values.items()

    def close_context(self) -> None:
        """The call has ended: its context may still be changed, and travels nowhere."""
        if self._context is not None:
            self._context._host = None

    @property
    def congested(self) -> bool:
        """Whether the client is so far behind that the call's own input should wait."""
        return self.stream.unsent_bytes > UNSENT_HIGH

    def _send_headers(self) -> None:
        self._host.session.outbound.headers(self.stream, self._initial or ())
        self._initial = None
        self._host.changed()

    @property
    def initial(self) -> list[tuple[bytes, bytes]]:
        return self._initial or []

    @initial.setter
    def initial(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._initial = fields or None

    @property
    def trailing(self) -> list[tuple[bytes, bytes]]:
        return self._trailing

    @trailing.setter
    def trailing(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._trailing = fields

    def _refuses_more(self, what: str) -> bool:
        self._host.settle(what)
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

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "ended" if self.ended else "open"
        return f"<Call {self.id} {self.method} {state}, {self.stream.unsent_bytes} bytes unsent>"


def _replaced(
    fields: list[tuple[bytes, bytes]], metadata: Iterable[str], new: list[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """``fields``, where ``new`` stands for those of ``metadata``'s keys."""
    names = {name.encode() for name in metadata}
    return [field for field in fields if field[0] not in names] + new
