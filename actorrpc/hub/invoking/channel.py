"""``ActorChannel``: what a stub takes in place of a channel, to call an actor of this server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from actorrpc.actor import Service
from actorrpc.client.channel import MetadataPairs
from actorrpc.client.references import Target
from actorrpc.config import Config
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import Name
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.invoking.conversation import Conversation
from actorrpc.hub.invoking.futures import ReplyFuture, ReplyStream
from actorrpc.hub.invoking.seals import Seals
from actorrpc.hub.invoking.tells import Tells
from actorrpc.hub.invoking.threads import ThreadCalls
from actorrpc.hub.invoking.turn import Turn, turn_of
from actorrpc.hub.runtime.runners import Runners, get_ident
from actorrpc.metadata import encode_request
from actorrpc.ref_pb2 import ActorRef

__all__ = ["ActorChannel", "Callers", "elsewhere"]

Sent = TypeVar("Sent", contravariant=True)
Reply = TypeVar("Reply")

_NO_STREAMS = "takes a stream of requests, and actors are called with one message: make a call for each"


class Callers(Protocol):
    """The hub, as calls that are made in it need it."""

    @property
    def exchange(self) -> Exchange: ...
    @property
    def runners(self) -> Runners: ...
    @property
    def config(self) -> Config: ...
    @property
    def services(self) -> Mapping[str, type[Service]]:
        """Those that are served, by full name."""

    @property
    def server(self) -> bytes:
        """What the server is known by in references."""

    @property
    def seals(self) -> Seals:
        """Of references to actors of connections."""

    @property
    def tells(self) -> Tells:
        """Of those who are no actors."""

    @property
    def threads(self) -> ThreadCalls:
        """Calls that are made in other threads than the hub's."""


class ActorChannel(Target):
    """The way to one actor, by its key. Each method of a stub is a callable of it.

    ``maker`` is the actor that calls where no turn does; ``server`` is the one that the reference names.
    """

    def __init__(self, hub: Callers, key: str, maker: Service | None = None, server: bytes = b"") -> None:
        self.hub = hub
        self.key = key
        self.maker = maker
        self.server = server

    def unary_unary(
        self,
        method: str,
        /,
        *,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
    ) -> _ToReply[Any, Any]:
        return _ToReply(self, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        /,
        *,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
    ) -> _ToReplies[Any, Any]:
        return _ToReplies(self, method, request_serializer, response_deserializer)

    def stream_unary(self, method: str, /, **_: Any) -> _FromStream:
        return _FromStream(method)

    def stream_stream(self, method: str, /, **_: Any) -> _FromStream:
        return _FromStream(method)

    def name(self, service: str) -> Name:
        """What the actor of a service is found by."""
        return service, self.key

    def ref(self, service: str) -> ActorRef:
        return ActorRef(service=service, key=self.key, server=self.server or self.hub.server)

    def refusal(self, service: str) -> tuple[StatusCode, str] | None:
        """Why no actor of a service is called over it."""
        known = self.hub.services.get(service)
        if self.server and self.server != self.hub.server:
            return StatusCode.NOT_FOUND, elsewhere(service)
        if known is None:
            return StatusCode.UNIMPLEMENTED, f"{service} is not served here"
        if known.__rpc__.keyed is None:
            return StatusCode.UNIMPLEMENTED, f"{service} has an actor for each connection: none has a key"
        return None

    def __repr__(self) -> str:
        return f"<ActorChannel to {self.key!r}>"


def elsewhere(service: str) -> str:
    """What is said of a reference that another server has made."""
    return (
        f"the reference is to an actor of {service} on another server, or of this one before it was started "
        "anew"
    )


class _Method(Generic[Sent, Reply]):
    """A method of a stub, with one request."""

    def __init__(
        self,
        channel: ActorChannel,
        method: str,
        serialize: Callable[[Sent], bytes],
        parse: Callable[[bytes], Reply],
    ) -> None:
        self._channel = channel
        self._path = method
        self._service = method.split("/")[1]
        self._name = channel.name(self._service)
        self._fields = ((":path", method),)
        #: It is known that such calls are served.
        self._served = False
        self._serialize = serialize
        self._parse = parse

    def _begin(
        self,
        request: Sent,
        timeout: float | None,
        metadata: MetadataPairs | None,
        credentials: object,
        *,
        waits: bool = False,
    ) -> Conversation:
        """Begin a call. ``waits``: its turn waits until it has ended."""
        hub = self._channel.hub
        turn = self._turn()
        if turn is None:
            return self._begin_in_thread(request, timeout, metadata, credentials)
        asked = self._request(turn, request, metadata, credentials)
        asked.deadline = turn.deadline if timeout is None else _earliest(turn.deadline, timeout)
        if waits:
            asked.waiting = turn.waiting
        conversation = Conversation(hub.exchange, hub.runners, self._path)
        if not self._served and (why := self._refusal()):
            conversation.fail(*why)
            return conversation
        tells = hub.tells if turn.caller is None else turn.caller.tells
        if tells:
            tells.after(self._name, lambda: conversation.begin(self._name, asked))
        else:
            conversation.begin(self._name, asked)
        return conversation

    def _refusal(self) -> tuple[StatusCode, str] | None:
        why = self._channel.refusal(self._service)
        self._served = why is None
        return why

    def _turn(self) -> Turn | None:
        """For whom the call is made, if it may be made now. None: by another thread than the hub's."""
        runners = self._channel.hub.runners
        turn = turn_of(runners, self._channel.maker)
        if (caller := turn.caller) is not None:
            caller.check_calls()  # and the thread
        elif get_ident() != runners.thread:
            return None
        return turn

    def _begin_in_thread(
        self, request: Sent, timeout: float | None, metadata: MetadataPairs | None, credentials: object
    ) -> Conversation:
        """Begin a call of another thread, which is nobody's."""
        threads = self._channel.hub.threads
        asked = self._request(Turn(), request, metadata, credentials)
        asked.deadline = _earliest(None, timeout)
        if not self._served and (why := self._refusal()):
            return threads.refuse(asked, *why)
        return threads.begin(self._name, asked)

    def _request(
        self, turn: Turn, request: Sent, metadata: MetadataPairs | None, credentials: object
    ) -> Request:
        if credentials is not None:
            raise ValueError(
                f"{self._path}: an actor is called with the identity of the call whose turn calls it, and "
                "not with credentials"
            )
        message = self._serialize(request)
        limit = self._channel.hub.config.max_receive_message_bytes
        if 0 < limit < len(message):
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"{self._path}: a message of {len(message)} bytes, over the limit of {limit}",
            )
        fields = self._fields if metadata is None else (*self._fields, *_fields(metadata))
        asked = Request(self._path, message, fields)
        if (call := turn.call) is not None:
            asked.identity, asked.origin, asked.client = call.identity, call.made_for, call.client_facts
            if passed_on := call.passed_on:
                asked.passed_on = passed_on
                asked.context = tuple(each for each in call.noted if each[0] in passed_on)
        if (caller := turn.caller) is not None and turn.service is not None:
            asked.caller = caller.calling(turn.service)
        return asked

    def __repr__(self) -> str:
        return f"<{self._path} of {self._channel.key!r}>"


class _ToReply(_Method[Sent, Reply]):
    """One reply."""

    def __call__(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: object = None,
        wait_for_ready: bool | None = None,
        compression: object = None,
    ) -> Reply:
        """Call, and wait for the reply. Raises CallError for another status than OK."""
        conversation = self._begin(request, timeout, metadata, credentials, waits=True)
        try:
            return conversation.reply(self._parse)
        finally:  # where it is interrupted; else it has ended
            if conversation.status is None:
                conversation.cancel()

    def with_call(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: object = None,
        wait_for_ready: bool | None = None,
        compression: object = None,
    ) -> tuple[Reply, ReplyFuture[Reply]]:
        conversation = self._begin(request, timeout, metadata, credentials, waits=True)
        future = ReplyFuture(conversation, self._parse)
        try:
            return future.result(), future
        finally:  # where it is interrupted; else it has ended
            conversation.cancel()

    def future(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: object = None,
        wait_for_ready: bool | None = None,
        compression: object = None,
    ) -> ReplyFuture[Reply]:
        return ReplyFuture(self._begin(request, timeout, metadata, credentials), self._parse)

    def tell(
        self, request: Sent, /, metadata: MetadataPairs | None = None, timeout: float | None = None
    ) -> None:
        hub = self._channel.hub
        turn = self._turn()
        asked = self._request(turn or Turn(), request, metadata, None)
        asked.one_way = True
        asked.deadline = _earliest(None, timeout)
        if not self._served and (why := self._refusal()):
            raise RpcError(*why)
        if turn is None:
            hub.threads.tell(self._name, asked)
        else:
            (hub.tells if turn.caller is None else turn.caller.tells_of()).tell(self._name, asked)


class _ToReplies(_Method[Sent, Reply]):
    """A stream of replies."""

    def __call__(
        self,
        request: Sent,
        /,
        timeout: float | None = None,
        metadata: MetadataPairs | None = None,
        credentials: object = None,
        wait_for_ready: bool | None = None,
        compression: object = None,
    ) -> ReplyStream[Reply]:
        return ReplyStream(self._begin(request, timeout, metadata, credentials), self._parse)


class _FromStream:
    """A method that takes a stream of requests, which actors are not called with."""

    def __init__(self, method: str) -> None:
        self._method = method

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise RpcError(StatusCode.UNIMPLEMENTED, f"{self._method} {_NO_STREAMS}")

    with_call = future = __call__


def _earliest(deadline: float | None, timeout: float | None) -> float | None:
    """When a call is to be over, where the caller's must be by ``deadline``."""
    if timeout is None:
        return deadline
    own = monotonic() + timeout
    return own if deadline is None else min(own, deadline)


def _fields(metadata: MetadataPairs | None) -> list[tuple[str, str]]:
    """Metadata as the header fields of a request. Raises ValueError or TypeError for what cannot be sent."""
    fields = []
    for name, value in metadata or ():
        fields += encode_request({name: value})
    return [(name.decode(), value.decode()) for name, value in fields]
