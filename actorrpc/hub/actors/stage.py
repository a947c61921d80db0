"""``Stage``: what an actor's cell needs of whatever carries it. Today that is a connection."""

from __future__ import annotations

from typing import Any, Protocol

from actorrpc.actor import Host
from actorrpc.errors import RpcError
from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.phase import Phase

__all__ = ["ActorHost", "Stage"]


class ActorHost(Host, Protocol):
    """What an instance asks things of, and is told by its cell what has become of them."""

    def settled(self) -> None:
        """A subscription is in force, or has ended before."""

    def leave_behind(self, cell: Any, topic: str) -> None:
        """Note that an actor has no room for more of a topic."""

    def took(self, cell: Any, payload: bytes) -> None:
        """An actor's message of a topic leaves its mailbox."""

    def end_subscriptions(self, call: Any = None, cell: Any = None) -> None:
        """End those of a call, those of a service, or all."""


class Stage(Protocol):
    """Where actors live."""

    #: For the log, and for ``connection_id``.
    @property
    def id(self) -> str: ...

    #: The key of the one actor that lives there; "": they are those of a client.
    @property
    def key(self) -> str: ...

    #: The hooks that run as an actor's first turn, and as its last.
    @property
    def first_hook(self) -> str: ...
    @property
    def last_hook(self) -> str: ...

    #: Whether their client is still there, and whether what is done counts.
    @property
    def phase(self) -> Phase: ...

    #: What starts their turns.
    @property
    def schedule(self) -> Schedule: ...
    @property
    def host(self) -> ActorHost: ...
    def discard(self, key: str, error: RpcError) -> None:
        """Drop an actor that could not be made; its calls get the error, the next call tries again."""
