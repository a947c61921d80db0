"""The homes that a hub goes by. They may lag behind those that it has been told of: a slot that a living hub
hands over to another stays with it, for everybody else, until that hub has released it.

A home that is to hand slots over stops when it learns of that. It hands its logs to the new home
(``handover``) and then says RELEASED to all hubs, after its last acknowledgements and messages. Until then
the others go by the old home, the new home too; then they turn to the new one, as they do when a home has
died. So they have heard all that the old home had to say, and nothing is under way to it that it would still
number. If it dies first, nothing more can come of it. That a link to it has ended does not say so: it may
live, and be the home for others.

Versions may come faster than releases, and releases of several homes in any order; so each slot has a queue
of the homes that it is to get.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import lcm

from actorrpc.hub.topics.homes import Homes, Place
from actorrpc.pb import control_pb2

__all__ = ["Step", "Steps", "Succession"]


@dataclass(slots=True)
class Step:
    """A slot gets another home. ``origin`` is the hub that hands it over; None: the home before has died."""

    place: Place
    origin: int | None = None
    #: What the origin has said at the end.
    released: control_pb2.Released | None = field(default=None, compare=False)


#: By slot.
Steps = Mapping[int, Step]


class Succession:
    """What one hub knows of homes. ``homes`` are those that it goes by; their version is the last that it has
    been told of."""

    def __init__(self, hub: int) -> None:
        self._hub = hub
        self.homes = Homes.alone(hub)
        #: What is to come, by slot; none of the queues is empty.
        self._queues: dict[int, list[Step]] = {}
        #: The places among these, and who hands over what to this hub in which term.
        self.coming: frozenset[Place] = frozenset()
        self._arriving: frozenset[tuple[int, int]] = frozenset()
        self._origins: frozenset[int] = frozenset()

    def learn(
        self, version: int, hubs: Sequence[int], terms: Sequence[int], origins: Mapping[int, int]
    ) -> None:
        """Take a version that the broker has told; ``advance`` is to follow. ``origins``: by slot."""
        before = self.homes
        told = before.after(version, hubs, terms)
        told = told.over(lcm(len(told.hubs), len(before.hubs)))
        if before.version:
            self._widen(len(told.hubs))
            self.homes = replace(before.over(len(told.hubs)), version=version)
            for slot, place in enumerate(told.places):
                self._append(slot, place, origins.get(slot % len(hubs)))
        else:
            self._begin(told, origins)
        self._note()

    def _begin(self, told: Homes, origins: Mapping[int, int]) -> None:
        """This hub has just come. What it gets of others they have until then, in terms unknown here."""
        own = {slot: hub for slot, hub in origins.items() if told.hubs[slot] == self._hub}
        self.homes = told.changed({slot: (hub, 0) for slot, hub in own.items()})
        self._queues = {slot: [Step((self._hub, told.terms[slot]), hub)] for slot, hub in own.items()}

    def _widen(self, slots: int) -> None:
        """Homes are told by more slots than before."""
        before = len(self.homes.hubs)
        if slots != before and self._queues:
            queues = {slot: self._queues.get(slot % before, []) for slot in range(slots)}
            self._queues = {
                slot: [replace(step) for step in steps] for slot, steps in queues.items() if steps
            }

    def _append(self, slot: int, place: Place, origin: int | None) -> None:
        queue = self._queues.get(slot, [])
        last = queue[-1].place if queue else (self.homes.hubs[slot], self.homes.terms[slot])
        if origin is None:  # what was to be released has been, for all that live, or never will be
            for step in queue:
                step.origin = None
        if place == last:
            return
        # Those to whom the origin was to give it before have died, and will release nothing.
        while origin is not None and queue and queue[-1].place[0] != origin:
            queue.pop()
        queue.append(Step(place, origin))
        self._queues[slot] = queue

    def release(self, source: int, released: control_pb2.Released) -> None:
        """A hub has said all that it ever will as the home before; ``advance`` is to follow."""
        place = released.home, released.version
        for queue in self._queues.values():
            for index, step in enumerate(queue):
                if step.origin == source and step.place == place:
                    step.released = released
                    # These are over: who was to say so has done it over a link that has broken.
                    for earlier in queue[:index]:
                        earlier.origin = None

    def advance(self, living: Collection[int]) -> Steps:
        """Go on by the next home of each slot, as far as that may be; to be repeated until nothing changes.

        ``living`` are the hubs that are alive as far as is known here.
        """
        awaited = {*living} - {self._hub}
        taken = {
            slot: step
            for slot, (step, *_) in self._queues.items()
            if step.released or step.origin not in awaited
        }
        if taken:
            for slot in taken:
                del self._queues[slot][0]
            self._queues = {slot: queue for slot, queue in self._queues.items() if queue}
            self.homes = self.homes.changed({slot: step.place for slot, step in taken.items()})
            self._note()
        return taken

    @property
    def hubs(self) -> set[int]:
        """Those that it goes by, and those that it waits for. If one has died, what it has said is to be
        received, and its end, before ``learn`` takes homes without it."""
        return {*self.homes.hubs, *self._origins}

    def arriving(self, source: int, version: int) -> bool:
        """Whether a hub may hand slots over to this one with a version, which may not be known yet."""
        return version > self.homes.version or (source, version) in self._arriving

    def _note(self) -> None:
        steps = [step for queue in self._queues.values() for step in queue]
        self.coming = frozenset(step.place for step in steps)
        self._origins = frozenset(step.origin for step in steps if step.origin is not None)
        self._arriving = frozenset(
            (step.origin, step.place[1])
            for step in steps
            if step.origin is not None and step.place[0] == self._hub
        )

    def __repr__(self) -> str:
        return f"<Succession {self.homes!r}, {len(self._queues)} slots wait for their release>"
