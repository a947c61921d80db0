"""For whom a call is made: the actor and the call whose turn makes it, as far as it is made in one."""

from __future__ import annotations

from typing import Any, Protocol

from greenlet import getcurrent

from actorrpc.actor import Service
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.invoking.tells import Tells
from actorrpc.hub.runtime.runners import Runner, Runners

__all__ = ["Caller", "Turn", "turn_of"]


class Caller(Protocol):
    """Whatever carries an actor, as one that calls others."""

    def check_calls(self) -> None:
        """Wait while it moves, and raise RuntimeError if it has moved away."""

    def name_of(self, service: Service) -> str:
        """What an actor of it is called where one says who waits for whom."""

    def calling(self, service: Service) -> bytes:
        """An actor of it, as ``call.caller`` names it; empty: it is none."""

    def waiting_behind(self, service: Service) -> tuple[str, ...]:
        """Actors whose calls wait until the hook has ended that it runs."""

    @property
    def tells(self) -> Tells | None:
        """Where those of its actors stand in line; None: it has told nobody anything."""

    def tells_of(self) -> Tells:
        """The same, made if need be."""


class Turn:
    """What a call has from whoever makes it."""

    __slots__ = ("call", "caller", "hook", "service")

    def __init__(
        self, service: Service | None = None, call: ServerCall[Any] | None = None, *, hook: bool = False
    ) -> None:
        #: The actor's instance, or the service's; None: nobody's.
        self.service = service
        #: What carries it, if it can be called back.
        self.caller: Caller | None = None if service is None else service._host  # type: ignore[assignment]
        #: Of the call that is served; None: a hook's, or none at all.
        self.call = call
        #: It runs as a hook.
        self.hook = hook

    @property
    def deadline(self) -> float | None:
        """When the call is over that is served. One that is past bounds nothing: what runs then cleans up."""
        return None if self.call is None or self.call.ended else self.call.deadline

    @property
    def waiting(self) -> tuple[str, ...]:
        """The actors that wait as long as this turn waits."""
        call, caller = self.call, self.caller
        waiting: tuple[str, ...] = ()
        if self.hook and caller is not None and self.service is not None:
            waiting = caller.waiting_behind(self.service)
        elif call is not None:
            waiting = call.waiting
            if call.route.concurrent:  # others of its turns may run
                return waiting
        if caller is None or self.service is None or (call is None and not self.hook):
            return waiting
        name = caller.name_of(self.service)
        return waiting if name in waiting else (*waiting, name)


def turn_of(runners: Runners, maker: Service | None) -> Turn:
    """The turn that the current greenlet runs; elsewhere the caller is who made the target, if anybody."""
    here = getcurrent()
    if type(here) is not Runner or here.pool is not runners or here.turn is None:
        return Turn(maker)
    turn = here.turn
    if not isinstance(turn, ServerCall):  # a cell
        return Turn(maker if turn.instance is None else turn.instance, hook=True)
    return Turn(turn.receiver.instance, turn, hook=here.shielded)
