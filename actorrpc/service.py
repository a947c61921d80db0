"""What a ``.proto`` declares, as data: services, methods, and how their messages are read and written.

Generated code builds these; nothing here imports gevent, so that a client program can use the same
generated file.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

__all__ = ["Method", "ServiceSpec", "is_special"]


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


@dataclass(frozen=True)
class ServiceSpec:
    """A service: its full name, its methods, and the message class of its actor's state.

    ``state`` is None for a stateless service, whose calls run concurrently.
    """

    name: str
    methods: tuple[Method, ...]
    state: type[Message] | None = None

    def path(self, method: Method) -> str:
        """The ``:path`` of a call, such as ``/chat.Chat/Join`` (gRPC over HTTP/2, "Requests")."""
        return f"/{self.name}/{method.name}"
