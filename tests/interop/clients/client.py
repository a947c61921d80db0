"""What a procedure asks of a client. Replies, status and metadata are results; a status is not raised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar

from google.protobuf.message import Message

from actorrpc.service import Method
from tests.interop.testing_actorrpc import TestServiceStub, UnimplementedServiceStub

#: In seconds. No case comes near it, unless the server is silent.
PATIENCE = 60.0

Metadata = Sequence[tuple[str, str | bytes]]
T = TypeVar("T")

METHODS: dict[str, Method] = {
    f"/{stub.__rpc__.name}/{method.name}": method
    for stub in (TestServiceStub, UnimplementedServiceStub)
    for method in stub.__rpc__.methods
}


@dataclass
class Outcome:
    """How a call ended."""

    status: int
    message: str = ""
    replies: list[Message] = field(default_factory=list)
    initial: list[tuple[str, str | bytes]] = field(default_factory=list)
    trailing: list[tuple[str, str | bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class Options:
    """Of one call."""

    metadata: Metadata = ()
    timeout: float = PATIENCE
    compressed: bool = False


DEFAULT = Options()


class Conversation(ABC):
    """A call of a method that streams both ways."""

    @abstractmethod
    async def send(self, message: Message) -> None: ...
    @abstractmethod
    async def receive(self) -> Message | None:
        """The next reply; None: there are no more."""

    @abstractmethod
    async def half_close(self) -> None: ...
    @abstractmethod
    async def cancel(self) -> None: ...
    @abstractmethod
    async def outcome(self) -> Outcome:
        """Wait for the end. ``replies`` are those that were not received before."""


class Client(ABC):
    """One channel."""

    @abstractmethod
    def another(self) -> AbstractAsyncContextManager[Client]:
        """A channel of its own to the same server."""

    @abstractmethod
    async def unary(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome: ...
    @abstractmethod
    async def expand(self, path: str, request: Message, options: Options = DEFAULT) -> Outcome:
        """Call a method that streams replies."""

    @abstractmethod
    async def collect(self, path: str, requests: Sequence[Message], options: Options = DEFAULT) -> Outcome:
        """Call a method that streams requests."""

    @abstractmethod
    async def collect_and_cancel(self, path: str) -> Outcome:
        """Begin to call a method that streams requests, and cancel at once."""

    @abstractmethod
    async def talk(self, path: str, options: Options = DEFAULT) -> Conversation:
        """Call a method that streams both ways."""
