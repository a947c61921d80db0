"""``call``: a call for the handler of an actor that no server runs. It remembers what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from actorrpc.actor import Service
from actorrpc.call import Call, Reply
from actorrpc.errors import StatusCode
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.identity import check_identity, check_unset
from actorrpc.hub.calls.route import Route
from actorrpc.metadata import Metadata
from actorrpc.testing.actors import check_key_of, recorder_of
from actorrpc.testing.recorder import Recorder
from actorrpc.wire.stream import Stream

__all__ = ["RecordedCall", "call"]


class RecordedCall(ServerCall[Reply]):
    """A call whose client is the test. What handlers use of it is ``actorrpc.Call``'s own."""

    __slots__ = ("_identity", "_key", "_sent_initial", "sent", "status", "status_message")

    def __init__(
        self, recorder: Recorder, stream: Stream, route: Route, identity: str, key: str = ""
    ) -> None:
        super().__init__(recorder, stream, route)
        self._identity = identity
        self._key = key
        self._sent_initial: Sequence[tuple[bytes, bytes]] = ()
        #: The messages that the handler has sent with ``send``: not those that it returns.
        self.sent: list[Reply] = []
        #: What ``finish`` was given, or what became of the call otherwise; None while it is open.
        self.status: StatusCode | None = None
        self.status_message = ""

    def cancel(self, why: str = "the client cancelled the call") -> None:
        """Do what the client does that wants no more of it."""
        if not self.ended:
            super().cancel(why)
            self.status, self.status_message = StatusCode.CANCELLED, why

    def expire(self) -> None:
        """Let the deadline pass."""
        self.deadline = monotonic()
        self.host.expire(self)

    def reply(self, message: Message) -> None:
        """Do what a hub does with the single reply that a handler has returned: the call ends with OK.

        Raises TypeError for a message of another type than the method's, and RuntimeError where the method
        has more replies than one.
        """
        method = self.route.method
        if method.server_streaming:
            raise RuntimeError(f"{self.method} has a stream of replies: what is sent is in call.sent")
        if not isinstance(message, method.reply):
            wanted = method.reply.DESCRIPTOR.full_name
            raise TypeError(f"{self.method} must return a {wanted}, not {type(message).__name__}")
        if not self.ended:
            super().reply(message)
            if not self.cancelled:  # by a limit
                self.status = StatusCode.OK

    @property
    def initial_metadata(self) -> Metadata:
        """What the handler has given, whether or not it has gone out yet."""
        return _metadata(self._sent_initial or self.initial)

    @property
    def trailing_metadata(self) -> Metadata:
        """What the handler has given so far."""
        return _metadata(self.trailing)

    @property
    def identity(self) -> str:
        return self._identity

    @identity.setter
    def identity(self, value: str) -> None:
        """For an interceptor's ``on_call``, which a test calls with it."""
        check_unset(value, self._identity)
        check_identity(value)
        self._identity = value

    @property
    def key(self) -> str:
        return self._key

    # ---- what Call does, written down

    def send_payload(self, payload: bytes, compress: bool = True) -> None:
        super().send_payload(payload, compress)
        if not self.ended:  # by a limit
            self.sent.append(self.route.method.reply.FromString(payload))  # type: ignore[arg-type]

    def end(
        self, status: StatusCode, message: str = "", metadata: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        if not self.ended:
            self.status, self.status_message = status, message
            super().end(status, message, metadata)

    def send_headers(self) -> None:
        self._sent_initial = self.initial
        super().send_headers()

    def __repr__(self) -> str:
        state = "open" if self.status is None else self.status.name
        return f"<RecordedCall {self.id} {self.method} {state}, {len(self.sent)} messages sent>"


#: A handler for messages, or for the end of a stream of them.
Handler = Callable[[Any, Call[Reply]], object] | Callable[[Call[Reply]], object]


def call(
    handler: Handler[Reply],
    *,
    metadata: Mapping[str, str | bytes | Iterable[str | bytes]] | None = None,
    timeout: float | None = None,
    identity: str | None = None,
    key: str | None = None,
) -> RecordedCall[Reply]:
    """Begin a call of a handler of an actor that ``actor`` has made; to run the handler is the test's.

        call = actorrpc.testing.call(room.Join, metadata={"authorization": "Bearer x"}, timeout=5)
        room.Join(JoinRequest(nick="ada"), call)
        assert call.sent == [Joined(nick="ada")]

    It is among the actor's ``self.calls`` until it ends; ``identity``, and the ``key`` of a keyed actor, are
    the actor's unless given. Use it for as many messages as the method takes, and for ``Talk_end(call)``.

    Raises TypeError for what is not a handler of such an actor, or a key where the actor has none, RpcError
    for what cannot be a key, and as grpcio does for metadata.
    """
    instance = getattr(handler, "__self__", None)
    if not isinstance(instance, Service):
        raise TypeError(f"call takes the handler of an actor, such as room.Join, not {handler!r}")
    recorder = recorder_of(instance)
    route = _route_of(recorder, instance, handler)
    if identity is None:
        identity = instance._identity
    check_identity(identity)
    if key is None:
        key = instance._key
    else:
        check_key_of(type(instance), key)
    begun = RecordedCall[Reply](recorder, recorder.begin(route.path, metadata or {}), route, identity, key)
    if timeout is not None:
        begun.deadline = monotonic() + timeout
    recorder.add(begun)
    return begun


def _route_of(recorder: Recorder, instance: Service, handler: object) -> Route:
    for route in recorder.routes.values():
        method = route.method
        if handler in [getattr(instance, name) for name in (method.handler, method.end_handler) if name]:
            return route
    raise TypeError(f"{handler!r} does not handle calls of {type(instance).__rpc__.name}")


def _metadata(fields: Iterable[tuple[bytes, bytes]]) -> Metadata:
    return Metadata((name.decode(), value.decode()) for name, value in fields)
