"""Which hub is the home of which topics, and in which term: what one hub has been told. Plain data.

Topics are hashed to slots. Each slot has a home, and a term: the version of the homes with which that hub got
the slot. No two homes of a slot have the same term, not even two processes of one hub. So what hubs say to
each other about a topic carries it, and whatever comes from another home than the present one is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from zlib import crc32

__all__ = ["Homes", "Place", "names"]

#: A home, and its term.
Place = tuple[int, int]


@dataclass(frozen=True)
class Homes:
    """One version of the homes. Version 0 is what a hub assumes before it has been told anything."""

    version: int
    hubs: tuple[int, ...]
    terms: tuple[int, ...]

    @classmethod
    def alone(cls, hub: int) -> Homes:
        """A hub that knows of no other."""
        return cls(0, (hub,), (0,))

    def where(self, topic: str) -> Place:
        """The topic's home, and its term."""
        slot = crc32(topic.encode()) % len(self.hubs)
        return self.hubs[slot], self.terms[slot]

    def after(self, version: int, hubs: Sequence[int], terms: Sequence[int] = ()) -> Homes:
        """The next version. Without terms, a slot whose home stays keeps its own."""
        if terms:
            return Homes(version, tuple(hubs), tuple(terms))
        slots = lcm(len(hubs), len(self.hubs))
        before, after = self.over(slots), Homes(version, tuple(hubs), (version,) * len(hubs)).over(slots)
        places = zip(before.places, after.places, strict=True)
        return after.changed(
            {slot: was for slot, (was, now) in enumerate(places) if self.version and was[0] == now[0]}
        )

    def over(self, slots: int) -> Homes:
        """The same by so many slots, a multiple of what there are: each topic has the home that it had."""
        times = slots // len(self.hubs)
        return self if times == 1 else Homes(self.version, self.hubs * times, self.terms * times)

    def changed(self, places: Mapping[int, Place]) -> Homes:
        """The same, but for some slots."""
        hubs, terms = [*self.hubs], [*self.terms]
        for slot, place in places.items():
            hubs[slot], terms[slot] = place
        return Homes(self.version, tuple(hubs), tuple(terms))

    def has(self, hub: int, term: int) -> bool:
        """Whether that is the place of any slot."""
        return (hub, term) in self.places

    @property
    def places(self) -> list[Place]:
        """By slot."""
        return [*zip(self.hubs, self.terms, strict=True)]

    def __repr__(self) -> str:
        return f"<Homes version {self.version}: {len(self.hubs)} slots of {len({*self.hubs})} hubs>"


def names(place: Place, hub: int, term: int) -> bool:
    """Whether a hub that names a term speaks for a place. With term 0 it names none: only the hub counts."""
    return place[0] == hub and (place[1] == term or not term)
