"""What a ``.proto`` declares, as data: services, methods, and how their messages are read and written.

Generated code builds these; nothing here imports gevent, so that a client program can use the same
generated file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import Message

__all__ = ["KeyFrom", "Keyed", "Method", "ServiceSpec", "is_special"]


def is_special(name: str) -> bool:
    """Tell whether Python keeps a name for itself, as it does ``__init__``."""
    return name.startswith("__") and name.endswith("__")


@dataclass(frozen=True)
class Method:
    """One method of a service. ``request`` and ``reply`` are Protobuf message classes.

    ``handler`` names the attribute of the service's class that serves it, and ``end_handler``, if the client
    streams, the one for the end: ``Talk`` and ``Talk_end``, unless these were taken when it was generated.
    """

    name: str
    request: type[Message]
    reply: type[Message]
    client_streaming: bool = False
    server_streaming: bool = False
    handler: str = ""
    end_handler: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "handler", self.handler or self.name)
        if self.client_streaming:
            object.__setattr__(self, "end_handler", self.end_handler or f"{self.name}_end")

    @property
    def attribute(self) -> str:
        """What a stub calls it: its own name, unless Python's classes have that already."""
        return self.handler if is_special(self.name) else self.name

    @property
    def shape(self) -> str:
        """``unary_unary``, ``unary_stream``, ``stream_unary`` or ``stream_stream``: grpcio's names."""
        sides = (self.client_streaming, self.server_streaming)
        return "_".join("stream" if streaming else "unary" for streaming in sides)


class KeyFrom(Enum):
    """Where a call has its key, if its requests have none."""

    METADATA = "metadata"
    IDENTITY = "identity"


@dataclass(frozen=True)
class Keyed:
    """What makes a service's actors keyed: one for each key, and not for each connection.

    ``field`` names the string field of each request that holds the key of its call; "": ``key_from`` says
    where the key is. An actor that has been idle for ``idle`` seconds, without calls, subscriptions and
    timers, is passivated. Those of the keys in ``always`` are active from the start.
    """

    field: str = ""
    key_from: KeyFrom = KeyFrom.METADATA
    idle: float = 300.0
    always: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServiceSpec:
    """A service: its full name, its methods, and the message class of its actor's state.

    ``state`` is None for a stateless service, whose calls run concurrently; ``keyed`` is None unless each of
    its actors has a key.
    """

    name: str
    methods: tuple[Method, ...]
    state: type[Message] | None = None
    keyed: Keyed | None = None

    def path(self, method: Method) -> str:
        """The ``:path`` of a call, such as ``/chat.Chat/Join`` (gRPC over HTTP/2, "Requests")."""
        return f"/{self.name}/{method.name}"
