"""How a stub gets from a reference to whatever can call the actor: a hub that runs in this process.

Hubs say that they run (``hubs``); to a program without one, a reference is only a message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from actorrpc.ref_pb2 import ActorRef

__all__ = ["Target", "hubs", "target_of"]


class Target(ABC):
    """A channel to an actor of this server."""

    @property
    @abstractmethod
    def unary_unary(self) -> Callable[..., Any]: ...
    @property
    @abstractmethod
    def unary_stream(self) -> Callable[..., Any]: ...
    @property
    @abstractmethod
    def stream_unary(self) -> Callable[..., Any]: ...
    @property
    @abstractmethod
    def stream_stream(self) -> Callable[..., Any]: ...
    @abstractmethod
    def ref(self, service: str) -> ActorRef:
        """A reference to it, as a service by its full name."""


#: Each says what a reference leads to, for a service by its full name; None: it has no hub here.
hubs: list[Callable[[ActorRef, str], Target | None]] = []


def target_of(ref: ActorRef, service: str) -> Target:
    """What a reference leads to. Raises RuntimeError where no hub runs."""
    for find in hubs:
        if (target := find(ref, service)) is not None:
            return target
    raise RuntimeError(
        "a reference to an actor is called where a hub of its server runs: everywhere else, call the service "
        "over a channel"
    )
