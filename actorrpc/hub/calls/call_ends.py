"""For ``on_call_end``: the calls that an actor has handled, and which of them have ended.

A cell has one only where its class has that hook. The hook's turn stands in the mailbox from the moment on
when a call has ended and nothing of it runs any more: no turn of its handler, no ``close`` of its iterable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from actorrpc.errors import StatusCode
from actorrpc.hub.calls.call import ServerCall

__all__ = ["MAX_WAITING", "CallEnds", "Ended"]

#: How many ends may wait for their hook before concurrent calls wait, too. Each keeps its call, whose header
#: fields have 16 kB at most by default.
MAX_WAITING = 1024

#: A call, and how it has ended.
Ended = tuple[ServerCall[Any], StatusCode, str]


@dataclass(slots=True, eq=False, repr=False)
class CallEnds:
    """The calls of one actor whose handlers have begun, until their ``on_call_end`` is queued."""

    _begun: set[ServerCall[Any]] = field(default_factory=set)
    #: Those that have ended, while something of them runs.
    _ended: dict[ServerCall[Any], Ended] = field(default_factory=dict)
    #: Those whose iterable is to be closed.
    _closing: set[ServerCall[Any]] = field(default_factory=set)
    #: Hooks that are queued.
    waiting: int = 0

    def began(self, call: ServerCall[Any]) -> None:
        """A handler of the call is about to be called: the actor hears of its end."""
        self._begun.add(call)

    def ended(self, call: ServerCall[Any], status: StatusCode, message: str) -> None:
        """Note how a call has ended. ``take`` it next."""
        if call in self._begun:
            self._begun.discard(call)
            self._ended[call] = call, status, message

    def closes(self, call: ServerCall[Any]) -> None:
        """A turn is queued that closes the call's iterable; ``closed`` follows."""
        self._closing.add(call)

    def closed(self, call: ServerCall[Any]) -> None:
        """The iterable has been closed. ``take`` the call next."""
        self._closing.discard(call)

    def take(self, call: ServerCall[Any]) -> Ended | None:
        """What the hook is to be told, once, if the call has ended and nothing of it runs."""
        if call not in self._ended or call.runner is not None or call in self._closing:
            return None
        self.waiting += 1
        return self._ended.pop(call)

    @property
    def full(self) -> bool:
        """So many hooks wait that no more calls should end."""
        return self.waiting >= MAX_WAITING

    def __repr__(self) -> str:
        return f"<CallEnds {len(self._begun)} begun, {len(self._ended)} ended, {self.waiting} hooks wait>"
