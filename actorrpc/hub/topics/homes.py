"""Which hub is the home of which topics, and in which term: what one hub has been told. Plain data.

Topics are hashed to slots. Each slot has a home, and a term: the version of the homes with which that hub got
the slot. No two homes of a slot have the same term, not even two processes of one hub. So what hubs say to
each other about a topic carries it, and whatever comes from another home than the present one is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
        slots = lcm(len(hubs), len(self.hubs))  # so that the same topics share a slot before and after
        places = [hubs[slot % len(hubs)] for slot in range(slots)]
        return Homes(
            version,
            tuple(places),
            tuple(
                self.terms[slot % len(self.terms)]
                if self.version and home == self.hubs[slot % len(self.hubs)]
                else version
                for slot, home in enumerate(places)
            ),
        )

    def fresh(self, since: Homes) -> list[Place]:
        """The places that are new since an earlier version."""
        return sorted({*self._places} - {*since._places})

    @property
    def _places(self) -> Iterator[Place]:
        return zip(self.hubs, self.terms, strict=True)

    def __repr__(self) -> str:
        return f"<Homes version {self.version}: {len(self.hubs)} slots of {len({*self.hubs})} hubs>"


def names(place: Place, hub: int, term: int) -> bool:
    """Whether a hub that names a term speaks for a place. With term 0 it names none: only the hub counts."""
    return place[0] == hub and (place[1] == term or not term)
