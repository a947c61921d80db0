"""What the directory speaks of: names of keyed actors, slots of names, and where an actor is."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

__all__ = ["NOWHERE", "Location", "Name", "slot_of"]

#: The full name of a service, and a key.
Name = tuple[str, str]


class Location(NamedTuple):
    """The process, by its serial, that owns a key, and since which grant: epochs of one key only grow."""

    hub: int
    epoch: int


#: Nobody owns the key.
NOWHERE = Location(-1, 0)


def slot_of(name: Name, slots: int) -> int:
    """The slot of a name, which is the same in all processes."""
    digest = blake2b("\0".join(name).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % slots
