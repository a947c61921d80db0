"""What a generated stub asks of a channel: four factories, and the four kinds of callables they make.

The factories are grpcio's, so a stub takes a ``grpc.Channel`` as it is, and a ``grpc.aio.Channel`` too:
only the types of what the callables return are then not those written here, but awaitable. In a hub it also
takes an actor of the server's: a target (``self.actor(key)``), or a reference.

grpcio's types come from the package types-grpcio, and are ``Any`` where that is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

from actorrpc.client.references import Target, target_of
from actorrpc.ref_pb2 import ActorRef
from actorrpc.service import ServiceSpec

if TYPE_CHECKING:
    from grpc import Call, CallCredentials, Compression, Future

__all__ = [
    "Channel",
    "MetadataPairs",
    "ReplyFuture",
    "ReplyStream",
    "StreamStream",
    "StreamUnary",
    "Stub",
    "UnaryStream",
    "UnaryUnary",
]

Request = TypeVar("Request", contravariant=True)
Sent = TypeVar("Sent", contravariant=True)
Reply = TypeVar("Reply")
StreamedReply = TypeVar("StreamedReply", covariant=True)

MetadataPairs: TypeAlias = Sequence[tuple[str, str | bytes]]
"""Keys in lower case; values are ``bytes`` where the key ends in ``-bin``."""

if TYPE_CHECKING:

    class ReplyStream(Call, Iterator[StreamedReply]):
        """The replies of a call, as they come. Iterating raises the channel's own error if the call fails."""

    class ReplyFuture(Call, Future[Reply]):
        """A call that goes on, and the reply that it will have."""

else:  # grpcio's own classes, which are imported only by who has a channel

    class ReplyStream(Generic[StreamedReply]):
        pass

    class ReplyFuture(Generic[Reply]):
        pass


class _ToReply(Protocol[Sent, Reply]):
    """One reply. ``timeout`` is in seconds; None sets no deadline."""

    def __call__(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: Compression | None = None,
    ) -> Reply: ...

    def with_call(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: Compression | None = None,
    ) -> tuple[Reply, Call]:
        """Call, and return the call too, with its metadata and status."""

    def future(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: Compression | None = None,
    ) -> ReplyFuture[Reply]:
        """Begin a call, and do not wait for the reply."""


class _ToReplies(Protocol[Sent, StreamedReply]):
    """A stream of replies."""

    def __call__(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: Compression | None = None,
    ) -> ReplyStream[StreamedReply]: ...


class UnaryUnary(_ToReply[Request, Reply], Protocol[Request, Reply]):
    """One request, one reply."""

    def tell(
        self, request: Request, /, metadata: MetadataPairs | None = None, timeout: float | None = None
    ) -> None:
        """Send the request to an actor, and wait for nothing: neither for its turn nor for the reply.

        It is handled once, or not at all: it is lost where the actor's hub dies, and what comes of it is seen
        in the log only. Those of one actor to one key are handled in their order. Only stubs of actors have
        it: a channel to a server has no such thing.

        Raises RpcError (RESOURCE_EXHAUSTED) where too many wait to be sent.
        """


class UnaryStream(_ToReplies[Request, StreamedReply], Protocol[Request, StreamedReply]):
    """One request, a stream of replies."""


class StreamUnary(_ToReply[Iterator[Request], Reply], Protocol[Request, Reply]):
    """A stream of requests, one reply. grpcio takes an iterator, and no list."""


class StreamStream(_ToReplies[Iterator[Request], StreamedReply], Protocol[Request, StreamedReply]):
    """A stream of requests, a stream of replies. grpcio takes an iterator, and no list."""


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
    """Base of the generated stubs: an attribute for each method, which calls it over ``channel``.

    In a hub, an actor may stand in place of a channel: ``self.actor(key)``, or an ``ActorRef``. Raises
    RpcError (INVALID_ARGUMENT) for a reference that is none, or to an actor of another service, and
    RuntimeError where no hub runs.
    """

    __rpc__: ClassVar[ServiceSpec]

    def __init__(self, channel: Channel | ActorRef) -> None:
        if isinstance(channel, ActorRef):
            channel = target_of(channel, self.__rpc__.name)
        if isinstance(channel, Target):
            self.__target = channel
        for method in self.__rpc__.methods:
            factory: _Factory = getattr(channel, method.shape)
            call = factory(
                self.__rpc__.path(method),
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.reply.FromString,
            )
            setattr(self, method.attribute, call)

    @cached_property  # which a method of that name takes the place of
    def ref(self) -> ActorRef:
        """A reference to the actor that this calls: a message, to be kept and sent.

        Raises TypeError where it calls a server over a channel.
        """
        target = getattr(self, "_Stub__target", None)
        if not isinstance(target, Target):
            raise TypeError(f"{self!r} calls a server over a channel: only stubs of actors have a ref")
        return target.ref(self.__rpc__.name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__rpc__.name}>"
