"""What a generated stub asks of a channel: four factories, and the four kinds of callables they make.

The factories are grpcio's, so a stub takes a ``grpc.Channel`` as it is, and a ``grpc.aio.Channel`` too:
only the types of what the callables return are then not those written here, but awaitable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar

from actorrpc.service import ServiceSpec

__all__ = [
    "Channel",
    "MetadataPairs",
    "ReplyStream",
    "StreamStream",
    "StreamUnary",
    "Stub",
    "UnaryStream",
    "UnaryUnary",
]

Request = TypeVar("Request", contravariant=True)
Reply = TypeVar("Reply", covariant=True)

MetadataPairs: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Keys in lower case; values are ``bytes`` where the key ends in ``-bin``."""


class ReplyStream(Iterator[Reply], Protocol[Reply]):
    """The replies of a call, as they come. Iterating raises the channel's own error if the call fails."""

    def cancel(self) -> object:
        """End the call early; harmless once it has ended."""


class UnaryUnary(Protocol[Request, Reply]):
    """One request, one reply. ``timeout`` is in seconds; None sets no deadline."""

    def __call__(
        self, request: Request, /, *, timeout: float | None = None, metadata: MetadataPairs | None = None
    ) -> Reply: ...


class UnaryStream(Protocol[Request, Reply]):
    """One request, a stream of replies."""

    def __call__(
        self, request: Request, /, *, timeout: float | None = None, metadata: MetadataPairs | None = None
    ) -> ReplyStream[Reply]: ...


class StreamUnary(Protocol[Request, Reply]):
    """A stream of requests, one reply."""

    def __call__(
        self,
        requests: Iterable[Request],
        /,
        *,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
    ) -> Reply: ...


class StreamStream(Protocol[Request, Reply]):
    """A stream of requests, a stream of replies."""

    def __call__(
        self,
        requests: Iterable[Request],
        /,
        *,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
    ) -> ReplyStream[Reply]: ...


class _Factory(Protocol):
    def __call__(
        self,
        method: str,
        /,
        *,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
    ) -> Any: ...


class Channel(Protocol):
    """Makes one callable for each method; ``method`` is a path such as ``/chat.Chat/Join``."""

    @property
    def unary_unary(self) -> _Factory: ...
    @property
    def unary_stream(self) -> _Factory: ...
    @property
    def stream_unary(self) -> _Factory: ...
    @property
    def stream_stream(self) -> _Factory: ...


class Stub:
    """Base of the generated stubs: an attribute for each method, which calls it over ``channel``."""

    __rpc__: ClassVar[ServiceSpec]

    def __init__(self, channel: Channel) -> None:
        for method in self.__rpc__.methods:
            factory: _Factory = getattr(channel, method.shape)
            call = factory(
                self.__rpc__.path(method),
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.reply.FromString,
            )
            setattr(self, method.attribute, call)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__rpc__.name}>"
