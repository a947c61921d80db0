"""``Resting``: which keyed actors have had nothing to do for so long that they are to end.

An actor notes when its last call ended (``Activation.idle_since``), and nothing else is done for it then. It
is looked at when it would have rested for long enough, had nobody called it since; if somebody has, again
when that is so long ago.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from time import monotonic

from actorrpc.hub.directory.names import Name
from actorrpc.hub.keyed.activation import Activation
from actorrpc.loop.timers import Timer

__all__ = ["AGAIN", "Resting"]

#: In which an actor is looked at again that nobody calls and that does not rest, since it has a subscription,
#: say; in seconds, at least.
AGAIN = 1.0

#: For how long actors are ended in a row, in seconds, before others get the loop.
_SLICE = 0.002


class Resting:
    """``active`` are all actors of the hub."""

    def __init__(self, active: Mapping[Name, Activation]) -> None:
        self._active = active
        #: When they are looked at: a heap. The number keeps names from being compared.
        self._due: list[tuple[float, int, Name]] = []
        self._count = 0
        self._timer = Timer()
        #: When it fires.
        self._fires = 0.0

    def watch(self, activation: Activation, idle: float) -> None:
        """End an actor that rests now when it has done so for ``idle`` seconds."""
        self._look_at(activation, activation.idle_since + idle)

    def _look_at(self, activation: Activation, due: float) -> None:
        activation.watched = True
        self._count += 1
        heappush(self._due, (due, self._count, activation.name))
        self._set_timer()

    def _set_timer(self) -> None:
        """Have it fire when the first is due."""
        due = self._due
        if due and not (self._timer.active and self._fires <= due[0][0]):
            self._fires = due[0][0]
            self._timer.set(max(self._fires - monotonic(), 0.0), self._look)

    def _look(self) -> None:
        self._timer.stop()
        began = now = monotonic()
        due = self._due
        while due and due[0][0] <= now < began + _SLICE:
            activation = self._active.get(heappop(due)[2])
            if activation is not None and activation.watched:
                self._look_after(activation, now)
            now = monotonic()
        self._set_timer()

    def _look_after(self, activation: Activation, now: float) -> None:
        activation.watched = False
        if not activation.idle_since:
            return  # a call is open: its end begins this anew
        keyed = activation.service.__rpc__.keyed
        assert keyed is not None
        ends = activation.idle_since + keyed.idle
        if ends > now:
            self._look_at(activation, ends)
        elif activation.takes_calls and activation.resting:
            activation.passivate()
        else:  # it has no calls, but something else keeps it
            self._look_at(activation, now + max(keyed.idle, AGAIN))

    def close(self) -> None:
        """End none any more."""
        self._timer.stop()
        self._due.clear()

    def __repr__(self) -> str:
        return f"<Resting {len(self._due)}>"
