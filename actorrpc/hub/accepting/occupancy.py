"""How full and how busy this hub is, and what the other hubs are told of that, and when."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from actorrpc.config import Config
from actorrpc.hub.accepting.least_loaded import DECAY, Estimate
from actorrpc.hub.accepting.passing import Neighbour, Passing
from actorrpc.loop.timers import after
from actorrpc.pb import control_pb2

__all__ = ["Occupancy"]

#: Seconds at least between two messages of a full hub that it has room again.
ROUND = 0.025

#: Changes of the load below this share of a core are not worth a message: see ``least_loaded.BAND``.
FINE = 0.02


class Occupancy:
    """What one hub has and may be given, and which hubs want to know that.

    ``count()`` says how many connections it has, with those that are on their way to it; ``accepts()``
    whether it has listening sockets from which it may have to give connections to others.
    """

    def __init__(
        self, config: Config, passing: Passing, *, count: Callable[[], int], accepts: Callable[[], bool]
    ) -> None:
        self._limit = config.max_connections
        self._passing = passing
        self._count = count
        self._accepts = accepts
        #: What another hub would know of this one, if it had just been told.
        self.own = Estimate()
        self._busy = 0.0
        #: It takes no more.
        self.closed = False
        #: It takes none for now.
        self.resting = False
        self._alone = False
        #: What all who want to know were last told; when they were last told that there is room again, and
        #: the timer until they are told so next.
        self._said: control_pb2.Occupancy | None = None
        self._opened = 0.0
        self._round: Any = None

    @property
    def has_room(self) -> bool:
        """Whether this hub may serve one more."""
        return not (self.closed or self.resting) and (not self._limit or self._count() < self._limit)

    def estimate(self) -> Estimate:
        """``own``, as of now."""
        self.own.hear(self._count(), self._busy, self._room())
        return self.own

    @property
    def able(self) -> list[int]:
        """The other hubs that can accept connections."""
        return [
            hub
            for hub, estimate in self._passing.estimates().items()
            if not (estimate.silent or estimate.stopping)
        ]

    def set_over_memory(self, over: bool) -> None:
        """This hub has more memory than it should, or no longer: it gives connections away meanwhile."""
        self.own.over_memory = over
        self.tell_all()

    def broker_lost(self) -> None:
        """The broker is gone, which knew which hub could accept for all: hubs now tell each other."""
        self._alone = True
        self._passing.listen_anew()
        self.tell_all()

    def broker_found(self) -> None:
        """There is one again."""
        self._alone = False
        self.tell_all()

    def tick(self, busy: float) -> None:
        """Take in how busy this hub was for a quarter of a second, and tell those who want to know."""
        self._busy += (busy - self._busy) * (1 - DECAY)
        self.own.tick()
        self._passing.tick()
        self.tell_changes(beat=True)

    def changed(self) -> None:
        """This hub has a connection more or less. Tell the others soon if it is full now, or no longer."""
        if self._said is None or (room := self._room()) is None:
            return
        if not room and self._said.room:
            self.tell_changes()
        elif room and (not self._said.room or self._passing.spent):
            self._tell_room()

    def tell_changes(self, beat: bool = False) -> None:
        """Tell all who want to know what has changed, or, on a ``beat``, those whose heartbeat is due."""
        wanting = [neighbour for neighbour in self._passing.neighbours.values() if neighbour.gives]
        if not wanting:
            self._said = None
            return
        occupancy = self._occupancy()
        if self._said is not None and not _differs(self._said, occupancy):
            occupancy = self._said
        self._said = occupancy
        for neighbour in wanting:
            if (
                neighbour.told is not occupancy
                or neighbour.taken
                or (beat and self._passing.beats(neighbour))
            ):
                self._tell(neighbour, occupancy)

    def tell_all(self) -> None:
        """Tell the others what this hub has, and whether it wants to know the same of them.

        Nothing is said between two hubs neither of which gives connections away.
        """
        occupancy = self._occupancy()
        self._said = occupancy
        for neighbour in self._passing.neighbours.values():
            if occupancy.gives or neighbour.gives or neighbour.told is not None:
                self._tell(neighbour, occupancy)

    def tell_new(self, neighbour: Neighbour) -> None:
        """Tell a hub that has just been linked, if this one wants to know what it has."""
        if self._gives:
            self._tell(neighbour, self._occupancy())

    def close(self) -> None:
        """Take no more connections, and stop the timer."""
        self.closed = True
        if self._round is not None:
            self._round.close()

    def _tell_room(self) -> None:
        if self._round is not None:
            return
        wait = self._opened + ROUND - monotonic()
        if wait > 0:
            self._round = after(wait, self._tell_room_now)
        else:
            self._tell_room_now()

    def _tell_room_now(self) -> None:
        self._round = None
        self._opened = monotonic()
        self.tell_changes()

    @property
    def _gives(self) -> bool:
        """Whether this hub may have to give connections away."""
        return self._alone or self.own.over_memory or self._accepts()

    def _room(self) -> int | None:
        if self.closed or self.resting:
            return 0
        return max(0, self._limit - self._count()) if self._limit else None

    def _share(self) -> int | None:
        """How many a neighbour may give until it is told again: an equal share, as all may give at once."""
        if not (room := self._room()):
            return room
        givers = self._gives + sum(neighbour.gives for neighbour in self._passing.neighbours.values())
        return -(-room // max(givers, 1))

    def _occupancy(self) -> control_pb2.Occupancy:
        return control_pb2.Occupancy(
            connections=self._count(),
            busy=self._busy,
            room=self._share(),
            gives=self._gives,
            stopping=self.closed or self.resting,
            over_memory=self.own.over_memory,
        )

    def _tell(self, neighbour: Neighbour, occupancy: control_pb2.Occupancy) -> None:
        if neighbour.link.send(control_pb2.HubToHub(occupancy=occupancy)):
            self._passing.told(neighbour, occupancy)

    def __repr__(self) -> str:
        return (
            f"<Occupancy {self._count()} connections of {self._limit or 'any number'}, busy {self._busy:.2f}>"
        )


def _differs(one: control_pb2.Occupancy, other: control_pb2.Occupancy) -> bool:
    """Whether another hub would decide otherwise."""
    return (
        (one.connections, one.room, one.gives, one.stopping, one.over_memory)
        != (other.connections, other.room, other.gives, other.stopping, other.over_memory)
        or one.HasField("room") != other.HasField("room")
        or abs(one.busy - other.busy) >= FINE
    )
