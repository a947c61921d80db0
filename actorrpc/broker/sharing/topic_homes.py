"""Which hub is the home of which slots of topics, when hubs come and die, get slots and give them away.

``assign`` decides, and is pure. ``TopicHomes`` is what the broker has told its hubs last: plain data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from heapq import heapify, heapreplace

from actorrpc.pb import control_pb2

__all__ = ["NOBODY", "SLOTS", "TopicHomes", "assign", "terms"]

#: Topics are hashed to this many slots; each slot has a hub for its home. Several for each of 256 hubs.
SLOTS = 1024

#: A slot that has never had a home.
NOBODY = -1


def assign(
    homes: Sequence[int],
    living: Collection[int],
    homeless: Collection[int] = (),
    staying: Collection[int] = (),
    share: bool = False,
) -> list[int]:
    """Return the homes with each slot of a dead hub given to a living one, as evenly as that allows.

    So is each slot of a ``homeless`` hub, which is to have none if there is any other. Otherwise a slot
    leaves a living hub only to ``share``: then all hubs have equally many, give or take one, by as few moves
    as that takes. The slots ``staying`` stay with a hub that lives in any case. With no hub alive, and so
    nobody to tell, nothing changes.
    """
    able = [hub for hub in living if hub not in homeless] or [*living]
    if not able:
        return [*homes]
    assigned = [home if home in living else NOBODY for home in homes]
    _fill(assigned, able)
    _relieve(assigned, able, staying)
    if share:
        _level(assigned, able, staying)
    return assigned


def _fill(homes: list[int], able: Sequence[int]) -> None:
    """Give each slot that has no home to one of the hubs with the fewest."""
    held = Counter(homes)
    fewest = [(held[hub], hub) for hub in able]
    heapify(fewest)
    for slot, home in enumerate(homes):
        if home == NOBODY:
            count, hub = fewest[0]
            homes[slot] = hub
            heapreplace(fewest, (count + 1, hub))


def _relieve(homes: list[int], able: Sequence[int], staying: Collection[int]) -> None:
    """Give the slots of all others to these hubs, so that they have equally many; those of one hub to few
    others, since each pair of hubs is some work for all."""
    leaving = [slot for slot, home in enumerate(homes) if home not in able and slot not in staying]
    leaving.sort(key=lambda slot: (homes[slot], slot))
    shares = [home for home in homes if home in able] + [NOBODY] * len(leaving)
    _fill(shares, able)
    takers = sorted(shares[len(shares) - len(leaving) :])
    for slot, taker in zip(leaving, takers, strict=True):
        homes[slot] = taker


def _level(homes: list[int], able: Sequence[int], staying: Collection[int]) -> None:
    """Move slots from the hubs that have the most to those that have the fewest."""
    held = dict.fromkeys(able, 0)
    movable: dict[int, list[int]] = {hub: [] for hub in able}
    for slot, home in enumerate(homes):
        if home in held:
            held[home] += 1
            if slot not in staying:
                movable[home].append(slot)
    while givers := [hub for hub in able if movable[hub]]:
        giver = max(givers, key=lambda hub: (held[hub], hub))
        taker = min(able, key=lambda hub: (held[hub], hub))
        if held[giver] - held[taker] <= 1:
            return
        homes[movable[giver].pop()] = taker
        held[giver] -= 1
        held[taker] += 1


def terms(terms: Sequence[int], before: Sequence[int], after: Sequence[int], version: int) -> list[int]:
    """Return the term of each slot's home: the version of the homes with which it got the slot."""
    return [term if home == was else version for term, was, home in zip(terms, before, after, strict=True)]


class TopicHomes:
    """The homes of all slots, their terms, and who still hands which slot over to its home."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.version = 0
        self.homes = [NOBODY] * slots
        self.terms = [0] * slots
        #: The hubs that there are, as far as anybody knows.
        self.living: list[int] = []
        #: By slot: a hub that lived when the slot was given to another one, which has not settled there yet.
        self.origins: dict[int, int] = {}

    def assign(self, living: Collection[int], homeless: Collection[int] = (), share: bool = False) -> None:
        """Make the next version. A slot that is being handed over goes nowhere else until it has settled."""
        before = self.homes
        self.living = [*living]
        self.origins = {slot: hub for slot, hub in self.origins.items() if hub in living}
        self.homes = assign(before, living, homeless, self.origins, share)
        self.version += 1
        self.terms = terms(self.terms, before, self.homes, self.version)
        for slot, (was, home) in enumerate(zip(before, self.homes, strict=True)):
            if was != home and was in living:
                self.origins[slot] = was

    def settled(self, hub: int, version: int) -> bool:
        """A hub has all slots that it got with a version, for good. Returns whether that is news."""
        settled = [slot for slot in self.origins if self.homes[slot] == hub and self.terms[slot] == version]
        for slot in settled:
            del self.origins[slot]
        return bool(settled)

    def needs(self, hub: int) -> bool:
        """Whether a hub is the home of anything, or may still be needed to hand something over."""
        return hub in self.homes or hub in self.origins.values()

    def movable(self, hub: int) -> bool:
        """Whether a hub has slots that could be given to another."""
        return any(home == hub and slot not in self.origins for slot, home in enumerate(self.homes))

    def message(self) -> control_pb2.Homes:
        """As hubs are told; with version 0, nothing."""
        if not self.version:
            return control_pb2.Homes()
        message = control_pb2.Homes(
            version=self.version, homes=self.homes, terms=self.terms, living=self.living
        )
        for hub in sorted({*self.origins.values()}):
            slots = [slot for slot, origin in self.origins.items() if origin == hub]
            message.origins.add(hub=hub, slots=sorted(slots))
        return message

    def restore(self, message: control_pb2.Homes) -> None:
        """Go on from what hubs were told, or were about to be told, by a broker before this one."""
        self.version, self.homes, self.terms = message.version, [*message.homes], [*message.terms]
        self.origins = {slot: origin.hub for origin in message.origins for slot in origin.slots}

    def __repr__(self) -> str:
        return (
            f"<TopicHomes version {self.version}, {len(self.origins)} of {len(self.homes)} slots under way>"
        )
