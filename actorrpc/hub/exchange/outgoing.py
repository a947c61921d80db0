"""The caller's end of a call to a keyed actor: what is asked, how far it is, and who hears the answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from actorrpc.errors import StatusCode
from actorrpc.hub.directory.names import Location, Name
from actorrpc.hub.securing.facts import ClientFacts

__all__ = [
    "BEGUN",
    "END",
    "HEADERS",
    "LOCATING",
    "MESSAGE",
    "NOBODY",
    "SENT",
    "WITHDRAWN",
    "Fields",
    "Listener",
    "OutgoingCall",
    "Request",
]

#: Header fields, as they are sent.
Fields = Iterable[tuple[bytes, bytes]]

# How far a call is. Where its actor lives is being found out:
LOCATING = "locating"
#: It is on its way there. If that hub dies now, nobody knows whether it has run.
SENT = "sent"
#: It is known there, and moves with the actor.
BEGUN = "begun"
#: Its caller wants no more of it.
WITHDRAWN = "withdrawn"


@dataclass(slots=True, eq=False)
class Request:
    """What is asked. Plain data."""

    #: The path of the method.
    method: str
    #: One message, serialized.
    message: bytes
    #: Header fields of the caller's.
    fields: tuple[tuple[str, str], ...] = ()
    #: On the monotonic clock; None: no deadline.
    deadline: float | None = None
    identity: str = ""
    peer: str = ""
    #: The client's connection that it comes from, by its id; "": no client's.
    origin: str = ""
    #: What is known for certain of the client in whose call it is made; None: nothing.
    client: ClientFacts | None = None
    #: What of the caller's context is passed on.
    context: tuple[tuple[str, str | bytes], ...] = ()
    #: The keys of those that go on from there.
    passed_on: frozenset[str] = frozenset()
    #: The actors that wait for it, from the first.
    waiting: tuple[str, ...] = ()
    #: The actor that calls, a serialized ``ActorRef``; empty: it is none.
    caller: bytes = b""
    #: Nobody waits for what is answered.
    one_way: bool = False


class Listener(Protocol):
    """Who hears the answers to one call, in order, each once."""

    @property
    def frozen(self) -> bool:
        """It takes nothing: it is on its way to another hub, perhaps. Whoever serves it next asks again
        (``Exchange.attach``)."""

    @property
    def congested(self) -> bool:
        """It is behind, and ``Exchange.go_on`` follows when it is not any more."""

    def on_begun(self) -> None:
        """The actor has the call: from now on it moves with it. Called before the first answer."""

    def on_headers(self, fields: Fields) -> None: ...
    def on_message(self, payload: bytes) -> None: ...
    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None:
        """The last. ``reply`` is the one of a method with a single reply, where the status is OK."""


class _Nobody:
    """Stands for the listener of a call that has been withdrawn."""

    frozen = congested = False

    def on_begun(self) -> None: ...
    def on_headers(self, fields: Fields) -> None: ...
    def on_message(self, payload: bytes) -> None: ...
    def on_end(self, status: StatusCode, message: str, fields: Fields, reply: bytes | None) -> None: ...


NOBODY = _Nobody()


@dataclass(slots=True, eq=False, repr=False)
class OutgoingCall:
    """One call, from its beginning until its last answer has been heard."""

    id: int
    name: Name
    listener: Listener
    #: None once the actor has it.
    request: Request | None
    state: str = LOCATING
    #: Where the actor was when it was last heard of.
    where: Location | None = None
    #: The number of the last answer that was heard, and of the last that the actor's hub knows to be.
    received: int = 0
    acknowledged: int = 0
    #: How often it has been sent to other hubs, and how often its caller has moved.
    attempt: int = 0
    moves: int = 0

    def begun(self) -> None:
        """The actor has it."""
        if self.state == SENT:
            self.state, self.request = BEGUN, None
            self.listener.on_begun()

    def take(self, number: int, kind: int, data: Any) -> None:
        """Hear the next answer."""
        self.received = number
        if kind == END:
            self.listener.on_end(*data)
        elif kind == MESSAGE:
            self.listener.on_message(*data)
        else:
            self.listener.on_headers(*data)

    def __repr__(self) -> str:
        service, key = self.name
        return f"<OutgoingCall {self.id:#x} of {service}/{key} {self.state}, {self.received} answers>"


#: Kinds of answers.
HEADERS, MESSAGE, END = range(3)
