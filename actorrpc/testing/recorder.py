"""What stands in for the connection of an actor that no server runs.

Its calls are real ones on a real session, whose client takes all at once; it has no socket and no loop. What
the actor asks of its hub is checked as a hub does, and written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from itertools import count
from typing import Any, NamedTuple, TypeVar, cast

from google.protobuf.message import Message

from actorrpc.actor import Service
from actorrpc.app import App
from actorrpc.call import Call
from actorrpc.client.references import Target
from actorrpc.config import Config
from actorrpc.errors import StatusCode
from actorrpc.hub.actors.service_host import check_subscription
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.route import routes_of
from actorrpc.hub.securing.facts import ClientFacts
from actorrpc.hub.topics.publications import check_size
from actorrpc.metadata import encode_request
from actorrpc.ref_pb2 import ActorRef
from actorrpc.wire.compression import ACCEPTED
from actorrpc.wire.events import RequestReceived
from actorrpc.wire.frames import MAX_WINDOW, PREFACE, Setting, header_frames, settings, window_update
from actorrpc.wire.hpack import encode
from actorrpc.wire.server import ServerSession
from actorrpc.wire.stream import Stream

__all__ = ["Publication", "Recorder", "Subscription"]

T = TypeVar("T")

_ids = count(1)
_FRAME = 16_384
_UNLIMITED = Config(flood_burst=0)


class Publication(NamedTuple):
    """What an actor has published."""

    topic: str
    #: As it was then: what the actor does to it later does not change it.
    message: Message


class Subscription(NamedTuple):
    """What an actor is subscribed to."""

    topic: str
    #: The call that the topic's messages go out on; None: they come to ``on_topic``.
    call: Call[Any] | None


class Recorder:
    """The ``actorrpc.actor.Host`` of one actor, and the ``actorrpc.hub.calls.call.CallHost`` of its calls."""

    def __init__(self, service: type[Service], connection_id: str, peer: str) -> None:
        #: Raises ConfigError for a class that no server would serve.
        self.routes = routes_of(App([service]))
        self.id = connection_id or f"0-1-{next(_ids)}"
        self.peer = peer
        self.client_facts: ClientFacts | None = None
        self.published: list[Publication] = []
        #: In a dict in place of a set, for its order.
        self.subscriptions: dict[Subscription, None] = {}
        self.session = ServerSession(_UNLIMITED)
        self._calls: dict[int, ServerCall[Any]] = {}
        self._streams = count(1, 2)
        window = {Setting.INITIAL_WINDOW_SIZE: MAX_WINDOW}
        self._receive(PREFACE + settings(window) + window_update(0, MAX_WINDOW - 65_535))

    # ---- what its client does

    def begin(self, path: str, metadata: Mapping[str, str | bytes | Iterable[str | bytes]]) -> Stream:
        """Begin a call as a client does. Raises ValueError or TypeError for metadata that none can send."""
        fields = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", path.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-accept-encoding", ACCEPTED),
            *encode_request(metadata),
        ]
        stream, block = next(self._streams), encode(fields)
        events = self._receive(header_frames(stream, block, end_stream=False, max_frame_size=_FRAME))
        if not events or not isinstance(events[0], RequestReceived):
            raise ValueError(f"a server would refuse this call of {path}: {events or 'its headers alone'}")
        return events[0].stream

    def add(self, call: ServerCall[Any]) -> None:
        """Have a call that has begun."""
        self._calls[call.stream.id] = call

    def _receive(self, data: bytes) -> list[Any]:
        events = self.session.receive_data(data)
        self.changed()
        return list(events)

    # ---- what its calls ask of a connection

    def changed(self) -> None:
        """Something is to be sent: the client takes it, so that nothing ever waits for it."""
        while self.session.data_to_send():
            pass

    def settle(self, what: str) -> None:
        """It never moves."""

    def check_here(self, what: str) -> None:
        """It never moves."""

    def parse(self, call: ServerCall[Any], payload: bytes, received: int) -> Message:
        return call.route.parse(payload)

    def release(self, call: ServerCall[Any]) -> None:
        """What is parsed is not counted."""

    def expire(self, call: ServerCall[Any]) -> None:
        call.stop(StatusCode.DEADLINE_EXCEEDED, "the deadline has passed")

    def leave_child(self, error: BaseException | None = None) -> None:
        """Its process is the test's."""

    def call_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        del self._calls[call.stream.id]
        for subscription in [each for each in self.subscriptions if each.call is call]:
            del self.subscriptions[subscription]

    def tell_ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """Its calls have no interceptors."""

    # ---- what its actor asks of a hub

    def calls_of(self, service: Service) -> tuple[ServerCall[Any], ...]:
        return tuple(self._calls.values())

    def subscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None:
        check_size(topic)
        check_subscription(service, topic, cast("ServerCall[Any] | None", call))
        if call is None or not call.ended:
            self.subscriptions[Subscription(topic, call)] = None

    def unsubscribe(self, service: Service, topic: str, call: Call[Any] | None) -> None:
        self.subscriptions.pop(Subscription(topic, call), None)

    def publish(self, topic: str, message: Message) -> None:
        payload = message.SerializeToString()
        check_size(topic, len(message.DESCRIPTOR.full_name) + len(payload))
        self.published.append(Publication(topic, type(message).FromString(payload)))

    def actor(self, service: Service, key: str) -> Target:
        raise RuntimeError(
            f"{type(service).__name__}.actor({key!r}): no server runs that has other actors. Test what "
            "actors do together with actorrpc.testing.serve(app)"
        )

    def ref(self, service: Service) -> ActorRef:
        name = service.__rpc__.name
        if service._key:
            return ActorRef(service=name, key=service._key)
        return ActorRef(service=name, connection=self.id, identity=service._identity)

    def offload(self, function: Callable[[], T]) -> T:
        """Here and now: it sees the caller's context variables, and what it sets is not seen."""
        return copy_context().run(function)

    def __repr__(self) -> str:
        return f"<Recorder {self.id}, {len(self._calls)} calls, {len(self.published)} published>"
