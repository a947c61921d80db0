"""Every error that actorrpc raises, and the status codes of gRPC.

Exception
├── RpcError                 a handler ends its call with a status, or a client's call ended so
│   └── CallError            a call of an actor, which was made in a hub, ended so
├── ConfigError              what the operator or the author of an app gave is wrong
├── TooManyRestarts          the server has stopped, since its hubs end again and again
├── LostAttributeError       an actor would have lost this attribute when it moves
├── ProtocolError            the peer broke HTTP/2 or gRPC
│   ├── ConnectionFault      the whole connection ends (GOAWAY)
│   └── StreamFault          one stream ends (RST_STREAM)
├── TlsFault                 the peer broke TLS, or said that something is wrong: the connection ends
└── SnapshotError            a snapshot cannot be thawed here

BaseException
└── CallInterrupted          raised in a blocked handler, so that its ``finally`` blocks run
    ├── CallCancelled        the client cancelled the call, or has gone
    └── DeadlineExceeded     the deadline of the call has passed
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = [
    "CallCancelled",
    "CallError",
    "CallInterrupted",
    "ConfigError",
    "ConnectionFault",
    "DeadlineExceeded",
    "LostAttributeError",
    "ProtocolError",
    "RpcError",
    "SnapshotError",
    "StatusCode",
    "StreamFault",
    "TlsFault",
    "TooManyRestarts",
    "status_code",
]


class StatusCode(IntEnum):
    """The status codes of gRPC, with gRPC's numbers (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


def status_code(code: object) -> StatusCode:
    """The status with this number. Raises ValueError, or TypeError for a code of another library, which say
    what to give instead."""
    try:
        return StatusCode(code)  # type: ignore[arg-type]
    except ValueError:
        name = code if isinstance(code, str) else getattr(code, "name", None)
    if isinstance(name, str) and name.upper() in StatusCode.__members__:
        given = repr(code) if code is name else f"{type(code).__module__}.{type(code).__name__}.{name}"
        raise TypeError(f"give actorrpc.StatusCode.{name.upper()}, not {given}")
    if isinstance(code, int):
        raise ValueError(f"{int(code)} is not a status code: those of gRPC are 0 to 16 (actorrpc.StatusCode)")
    raise TypeError(f"a status code is a member of actorrpc.StatusCode, not {code!r}")


#: The key under which a google.rpc.Status travels in the trailers.
STATUS_DETAILS = "grpc-status-details-bin"


class RpcError(Exception):
    """Raise it in a handler to end the call with a status other than OK.

    ``metadata`` is sent with the trailers: keys in lower case, values ``str``, or ``bytes`` for a key
    that ends in ``-bin``.

    ``details`` are Protobuf messages, such as those of ``google.rpc.error_details_pb2``: they are sent in a
    google.rpc.Status as ``grpc-status-details-bin``, which is where clients of all languages look for them
    (grpcio's in ``grpc_status.rpc_status``). This needs ``pip install "actorrpc[status]"``: raises
    ImportError without it. Raises TypeError or ValueError for a ``code`` that is not a ``StatusCode``, such
    as grpcio's.
    """

    def __init__(
        self,
        code: StatusCode,
        message: str = "",
        metadata: Mapping[str, str | bytes] | None = None,
        details: Iterable[Message] = (),
    ) -> None:
        super().__init__(code, message)
        self.code = status_code(code)
        self.message = str(message)
        self.metadata = dict(metadata or {})
        if self.code is StatusCode.OK:
            raise ValueError("RpcError needs a status other than OK; return the reply instead")
        self.details = tuple(details)
        if self.details:
            self.metadata.setdefault(STATUS_DETAILS, _status(self.code, self.message, self.details))

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}" if self.message else self.code.name


class CallError(RpcError):
    """A call that was made in a hub, of an actor of the server's, has ended with this status.

    ``code`` and ``message`` are the status, and ``trailing_metadata`` are the pairs that came with it. A
    handler in which nobody catches it ends its own call with the same status, message and metadata.
    """

    def __init__(
        self, code: StatusCode, message: str = "", trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
    ) -> None:
        super().__init__(code, message)
        self.trailing_metadata = tuple(trailing_metadata)
        for key, value in self.trailing_metadata:  # as a handler gives a key that has several values
            self.metadata.setdefault(key, []).append(value)  # type: ignore[arg-type,union-attr]


def _status(code: StatusCode, message: str, details: Iterable[Message]) -> bytes:
    """A serialized google.rpc.Status, which says what ``grpc-status`` and ``grpc-message`` say, and more."""
    try:
        from google.protobuf.any_pb2 import Any
        from google.protobuf.message import Message
        from google.rpc.status_pb2 import Status
    except ImportError as error:
        raise ImportError(
            "the details of an RpcError need googleapis-common-protos: pip install 'actorrpc[status]'"
        ) from error
    status = Status(code=code, message=message.encode(errors="replace").decode())
    for detail in details:
        if isinstance(detail, Any):
            status.details.append(detail)
        elif isinstance(detail, Message):
            status.details.add().Pack(detail)
        else:
            raise TypeError(f"the details of an RpcError are Protobuf messages, not {detail!r}")
    serialized: bytes = status.SerializeToString()
    return serialized


class ConfigError(Exception):
    """What the operator or the author of an app gave is wrong. Its text is one line for a person.

    ``trace`` is the traceback of what the author's code has raised, in lines; empty if it has not.
    """

    def __init__(self, text: str, trace: str = "") -> None:
        super().__init__(text)
        self.trace = trace


class TooManyRestarts(Exception):
    """The server has stopped, since its hubs end again and again. Its text is one line for a person."""


class LostAttributeError(AttributeError):
    """An attribute was set on an actor that is neither state nor transient: a move would lose it."""


class ProtocolError(Exception):
    """The peer broke the protocol. ``code`` is the HTTP/2 error code that tells it so (RFC 9113, 7)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return self.message


class ConnectionFault(ProtocolError):
    """The connection cannot go on: a connection error of RFC 9113, 5.4.1."""


class StreamFault(ProtocolError):
    """One stream cannot go on: a stream error of RFC 9113, 5.4.2."""


class TlsFault(Exception):
    """A TLS connection cannot go on. ``alert`` is the description of the alert that says so (RFC 9846, 6).

    ``received``: it is the peer that has said so, and it is told nothing more.
    """

    def __init__(self, alert: int, message: str, *, received: bool = False) -> None:
        super().__init__(alert, message)
        self.alert = alert
        self.message = message
        self.received = received

    def __str__(self) -> str:
        return self.message


class SnapshotError(Exception):
    """A snapshot cannot be thawed here; its text says why, for the source's log."""


class CallInterrupted(BaseException):
    """Raised in a handler that is blocked when its call ends early: by its client, its deadline, a limit, or
    what it is subscribed to. A handler that blocks after it, or another turn, has finished its call is
    interrupted when the client goes.

    A ``BaseException``, as ``asyncio.CancelledError`` and ``gevent.Timeout`` are, so that
    ``except Exception`` in a handler does not swallow it.
    """


class CallCancelled(CallInterrupted):
    """The client cancelled the call, or its connection has gone."""


class DeadlineExceeded(CallInterrupted):
    """The deadline of the call has passed."""
