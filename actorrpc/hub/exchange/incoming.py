"""``IncomingCall``: a call that has come to a keyed actor, as its handler sees it.

What it has besides a call on a connection: a key, and a caller who has been admitted where it called. What it
sends becomes ``Answers``; where the app's interceptors are shown something, that is where the client is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from actorrpc.call import Reply
from actorrpc.errors import StatusCode
from actorrpc.hub.calls.call import CallHost, ServerCall
from actorrpc.hub.calls.route import Route
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.securing.facts import ClientFacts
from actorrpc.ref_pb2 import ActorRef

__all__ = ["IncomingCall"]


class IncomingCall(ServerCall[Reply]):
    """A call whose stream is its ``Answers``; once it has ended elsewhere, what is left of them."""

    __slots__ = ("_caller", "_client_facts", "_identity", "_key", "_made_for", "_peer", "_waiting")

    stream: Any

    def __init__(self, host: CallHost, answers: Any, route: Route, *, key: str, identity: str = "") -> None:
        super().__init__(host, answers, route)
        self._identity, self._key = identity, key
        self._peer = self._made_for = ""
        self._caller = b""
        self._client_facts: ClientFacts | None = None
        self._waiting: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        return self._identity

    @identity.setter
    def identity(self, value: str) -> None:
        raise RuntimeError("call.identity is set where the call is made: in an interceptor's on_call")

    @property
    def key(self) -> str:
        return self._key

    @property
    def peer(self) -> str:
        return self._peer

    @property
    def client_facts(self) -> ClientFacts | None:
        return self._client_facts

    @client_facts.setter
    def client_facts(self, value: ClientFacts | None) -> None:
        self._client_facts = value

    @property
    def caller(self) -> ActorRef | None:
        return ActorRef.FromString(self._caller) if self._caller else None

    @property
    def waiting(self) -> tuple[str, ...]:
        return self._waiting

    @property
    def calling(self) -> bytes:
        """The calling actor as it travels."""
        return self._caller

    @property
    def made_for(self) -> str:
        return self._made_for

    def come_from(self, peer: str, caller: bytes, waiting: tuple[str, ...], made_for: str = "") -> None:
        """Note who called: the client's address, or an actor; which actors wait for it; and for the call of
        which client's connection it is made, in the end."""
        self._peer, self._caller, self._waiting, self._made_for = peer, caller, waiting, made_for

    def asked(self, request: Request) -> None:
        """Note who asks, and what comes with that."""
        self.come_from(request.peer, request.caller, request.waiting, request.origin)
        self._client_facts = request.client
        for key, value in request.context:
            self.context[key] = value
        if request.passed_on:
            self.context.pass_on(*request.passed_on)

    def set_compression(self, encoding: str | None) -> None:
        """Nothing is compressed on its way through the hubs."""

    def send_payload(self, payload: bytes, compress: bool = True) -> None:
        if not self._is_too_much(payload):
            if self.initial:
                self.send_headers()
            self.stream.message(payload)

    send_published = send_payload

    def send_reply(self, payload: bytes) -> None:
        if self._is_too_much(payload):
            return
        if self.initial:
            self.send_headers()
        self.ended = True
        self.stream.finish(StatusCode.OK, "", self.trailing, payload)
        self.host.call_ended(self, StatusCode.OK, "")

    def end(
        self, status: StatusCode, message: str = "", metadata: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        if self.ended:
            return
        self.ended = True
        if self.initial:
            self.send_headers()
        self.stream.finish(status, message, [*self.trailing, *metadata])
        self.host.call_ended(self, status, message)

    def cancel(self, why: str) -> None:
        if not self.ended:
            self.cancelled = self.ended = True
            self.stream.finish(StatusCode.CANCELLED, why)
            self.host.call_ended(self, StatusCode.CANCELLED, why)

    def _is_too_much(self, payload: bytes) -> bool:
        config = self.host.session.config
        size, waiting = len(payload), self.stream.unsent_bytes
        if 0 < config.max_send_message_bytes < size:
            limit = config.max_send_message_bytes
            message = f"a reply of {size} bytes, over the limit of {limit}"
        elif waiting and waiting + size > config.max_unsent_bytes:
            limit = config.max_unsent_bytes
            message = f"{waiting} bytes wait for the caller to take them, and no more than {limit} may"
        else:
            return False
        self.stop(StatusCode.RESOURCE_EXHAUSTED, message)
        return True

    def send_headers(self) -> None:
        self.stream.headers(self.initial)
        self.initial = ()

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled else "ended" if self.ended else "open"
        return f"<IncomingCall {self.id} {self.method} {state}>"
