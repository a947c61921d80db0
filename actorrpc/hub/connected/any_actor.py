"""``AnyActor``: the ``Actors`` of a hub: keyed ones, and those of its connections."""

from __future__ import annotations

from collections.abc import Callable, Container

from actorrpc.hub.connected.connected import ConnectedActors
from actorrpc.hub.directory.names import Location, Name, is_keyed
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.exchange import Actors
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.serving.incoming_calls import IncomingCalls

__all__ = ["AnyActor"]


class AnyActor:
    """``active`` are the names of keyed actors that are here, as ``keyed`` has them."""

    def __init__(self, keyed: Actors, active: Container[Name], connected: ConnectedActors) -> None:
        self._keyed = keyed
        self._active = active
        self._connected = connected

    @property
    def may_own(self) -> bool:
        return self._keyed.may_own

    def has(self, name: Name) -> bool:
        return name in self._active or (not is_keyed(name) and self._connected.has(name))

    def invoke(self, name: Name, request: Request, answers: Answers) -> None:
        # As `is_keyed`, without a call for each call.
        (self._connected if "@" in name[0] else self._keyed).invoke(name, request, answers)

    def when_known(self, name: Name, then: Callable[[bool], None]) -> None:
        (self._keyed if is_keyed(name) else self._connected).when_known(name, then)

    def withdraw(self, answers: Answers) -> None:
        if isinstance(answers.owner, IncomingCalls):
            self._connected.withdraw(answers)
        else:
            self._keyed.withdraw(answers)

    def unneeded(self, name: Name, granted: Location) -> None:
        if is_keyed(name):
            self._keyed.unneeded(name, granted)

    def __repr__(self) -> str:
        return f"<AnyActor: {self._keyed!r}, {self._connected!r}>"
