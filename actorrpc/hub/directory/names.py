"""What the directory speaks of: names of keyed actors, slots of names, and where an actor is."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

__all__ = [
    "NOWHERE",
    "Location",
    "Name",
    "connection_of",
    "described",
    "gone",
    "is_keyed",
    "name_on_connection",
    "service_of",
    "slot_of",
]

#: The full name of a service, and a key. Of a connection's actor: the service with the connection's id, and
#: the identity; no service has an "@" in its name, so that no key leads there.
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


def name_on_connection(service: str, connection: str, identity: str) -> Name:
    """The name of the actor that a connection has for a service and an identity; "": its own."""
    return f"{service}@{connection}", identity


def is_keyed(name: Name) -> bool:
    """Whether it is a keyed actor's, and not that of a connection's."""
    return "@" not in name[0]


def service_of(name: Name) -> str:
    return name[0].partition("@")[0]


def connection_of(name: Name) -> str:
    """The id of the connection whose actor it is; "": of none's."""
    return name[0].partition("@")[2]


def described(name: Name) -> str:
    """An actor in words, for messages."""
    service, key = service_of(name), name[1]
    if is_keyed(name):
        return f"the actor {key!r} of {service}"
    return f"the actor of {service} on connection {connection_of(name)}"


def gone(service: str) -> str:
    """What is said of a reference to a connection's actor that leads to nobody, whatever the reason is."""
    return f"the reference leads to no actor of {service}: its connection has ended, or the actor on that has"
