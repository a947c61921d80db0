"""Which hub becomes the home of which slots of topics, when hubs come and die: pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

__all__ = ["SLOTS", "assign", "terms"]

#: Topics are hashed to this many slots; each slot has a hub for its home.
SLOTS = 64


def assign(homes: Sequence[int], living: Collection[int]) -> list[int]:
    """Return the homes with each slot of a dead hub given to a living one, as evenly as that allows.

    A slot never leaves a living hub, since the topic's log and numbers are in its memory. So a hub that
    comes back has no slots until another dies. With no hub alive, and so nobody to tell, nothing changes.
    """
    if not living:
        return list(homes)
    held = Counter(home for home in homes if home in living)
    assigned = []
    for home in homes:
        if home not in living:
            home = min(living, key=lambda hub: (held[hub], hub))
            held[home] += 1
        assigned.append(home)
    return assigned


def terms(terms: Sequence[int], before: Sequence[int], after: Sequence[int], version: int) -> list[int]:
    """Return the term of each slot's home: the version of the homes with which it got the slot."""
    return [term if home == was else version for term, was, home in zip(terms, before, after, strict=True)]
