"""``Call``: one RPC, as its handler sees it. It may outlive a turn, and it travels with its connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import Message

from actorrpc.errors import StatusCode
from actorrpc.metadata import Metadata

if TYPE_CHECKING:
    from actorrpc.ref_pb2 import ActorRef

__all__ = ["Call", "Context", "Metadata", "Reply"]

Reply = TypeVar("Reply", bound=Message)


class Context(MutableMapping[str, str | bytes]):
    """What is noted on a call: ``str`` keys, ``str`` or ``bytes`` values, so that all of it can travel.

    Raises TypeError where another type is set, ValueError for text that is not Unicode, and RuntimeError once
    the call has moved to another hub.
    """

    __slots__ = ("_check", "_passed_on", "_values")

    def __init__(self, check: Callable[[str], None] | None = None) -> None:
        #: Waits while the call is on its way to another hub, and raises RuntimeError once it is there; None
        #: when the call has ended.
        self._check = check
        self._values: dict[str, str | bytes] = {}
        self._passed_on: frozenset[str] = frozenset()

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
        self._check_here()
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_here()
        del self._values[key]
        self._passed_on -= {key}

    def pass_on(self, *keys: str) -> None:
        """Have these entries go on to each actor that the call's handler calls, and from there to those that
        it calls in turn: the tenant, for one, or the id of a request. Without it, nothing does.

        Raises KeyError for what is not noted.
        """
        for key in keys:
            self._values[key]
        self._check_here()
        self._passed_on |= {*keys}

    @property
    def passed_on(self) -> frozenset[str]:
        """The keys of what goes on."""
        return self._passed_on

    def _check_here(self) -> None:
        if self._check is not None:
            self._check("change the context of a call")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def close(self) -> None:
        """The call has ended: what is noted may still be changed, and travels nowhere."""
        self._check = None

    def __repr__(self) -> str:
        return f"Context({self._values!r})"


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: no surrogate stands alone in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class Call(ABC, Generic[Reply]):
    """One RPC. Handlers get it as their last argument; ``self.calls`` lists an actor's open ones.

    What carries a call makes it: a hub (``actorrpc.hub.calls``), or a test (``actorrpc.testing``).
    """

    __slots__ = ("cancelled", "compression", "deadline", "ended", "request_compressed")

    #: When the call must be over, on ``time.monotonic``'s clock of this hub; None: no deadline.
    deadline: float | None
    #: The client has cancelled the call, its deadline has passed, or its connection has gone.
    cancelled: bool
    #: Nothing more can be sent: the call was finished, or cancelled.
    ended: bool
    #: Whether the message of this turn came compressed.
    request_compressed: bool
    #: What the next messages are compressed with; "" if nothing. See ``set_compression``.
    compression: str

    @property
    @abstractmethod
    def cursor(self) -> bytes:
        """Bytes of the handler's own that travel with the call. Raises TypeError if set to anything else.

        A handler that returns an iterable and sets the cursor before each reply is called again after a
        move, with the same message and this cursor. Without it, the connection stays where it is until the
        iterable is exhausted.

        Each reply is pulled in a turn: an iterable that waits between two of them keeps the actor's other
        turns waiting, unless its method is ``concurrent``, and a move. To send what comes, return None and
        keep the call, or subscribe it to a topic.
        """

    @cursor.setter
    def cursor(self, value: bytes) -> None: ...

    @property
    @abstractmethod
    def context(self) -> Context:
        """What interceptors and handlers note on the call, such as who the caller is: it travels with it."""

    @property
    @abstractmethod
    def id(self) -> str:
        """Unique among the calls of all hubs, and the same after a move."""

    @property
    @abstractmethod
    def method(self) -> str:
        """Such as ``/chat.Chat/Listen``."""

    @property
    @abstractmethod
    def peer(self) -> str:
        """The client's address, such as ``127.0.0.1:4242`` or ``[::1]:4242``, or as a trusted proxy says; for
        a unix socket's client ``unix:pid=4242,uid=1000``. "" where an actor calls."""

    @property
    @abstractmethod
    def auth_context(self) -> Mapping[str, Sequence[bytes]]:
        """What is known for certain of the client, as gRPC has it: names to lists of bytes. Empty where it
        does not speak TLS. It goes along as ``identity`` does: to a keyed actor, in whichever hub, and with
        what an actor asks of others in the turn of a client's call. So it is empty where hooks call, or
        greenlets of the app.

        ``transport_security_type`` is ``ssl``, ``ssl_version`` such as ``TLSv1.3``. Where the client has
        shown a certificate: ``x509_common_name``, ``x509_subject_alternative_name`` and ``x509_pem_cert``.
        What a trusted proxy has said of its client (``proxy_protocol``) has the same names.
        """

    @property
    @abstractmethod
    def identity(self) -> str:
        """Whose call it is; "" if nobody has said so. A connection's calls of one identity share an actor of
        each service, and those of another never get to see it.

        It is set once, by an interceptor's ``on_call`` or by the function that ``App(identity=...)`` was
        given. Raises RuntimeError where it is set again or later, TypeError for anything but a str, and
        ValueError for more than 1024 characters, or text that is not Unicode.
        """

    @identity.setter
    def identity(self, value: str) -> None: ...

    @property
    @abstractmethod
    def key(self) -> str:
        """The key of the keyed actor that the call is for; "" for others."""

    @property
    @abstractmethod
    def caller(self) -> ActorRef | None:
        """The actor whose turn made the call, as the server knows it. None: a client made it, or something
        that is no actor."""

    @property
    @abstractmethod
    def metadata(self) -> Metadata:
        """What the client sent with the call."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None if the call has none."""
        return None if self.deadline is None else max(0.0, self.deadline - monotonic())

    @abstractmethod
    def set_compression(self, encoding: str | None) -> None:
        """Compress the call's next messages with ``"gzip"`` or ``"deflate"``; None or ``"identity"``: do not.

        A client that does not accept the encoding gets its messages as they are, and so do all where
        ``Config.compression`` is off. Raises ValueError for another name, and RuntimeError if the response
        headers, which name the encoding, have gone out with another one.
        """

    @abstractmethod
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

    @abstractmethod
    def finish(self, status: StatusCode = StatusCode.OK, message: str = "") -> None:
        """End the call with a status, after all that was sent on it.

        Ignored on a call that was cancelled; raises RuntimeError if the call was finished before, and for
        OK where the method has a single reply, which the handler returns; TypeError or ValueError for what is
        not a status.
        """

    @abstractmethod
    def send_initial_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        """Send the response headers now, with metadata of the handler's.

        Raises ValueError or TypeError for metadata that cannot be sent, and RuntimeError if the headers
        have gone out, which the first message or the end of the call sees to.
        """

    @abstractmethod
    def set_initial_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        """Give metadata that goes out with the response headers, whenever they do: a key replaces what it
        was given before, an empty list removes it. Raises as ``send_initial_metadata`` does."""

    @abstractmethod
    def set_trailing_metadata(self, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> None:
        """Give metadata that goes out with the status: a key replaces what it was given before, an empty
        list removes it. Raises ValueError or TypeError for metadata that cannot be sent."""
