"""Who may seal: the rule that no sequence number is used twice with one key, as a table.

A record does not say its number: that is its place among all that the peer has received. So whoever goes on
from a given place uses the same key and the same nonce there as anybody else who does, and a nonce that two
records share is the end of AES-GCM. No change of keys helps: the peer derives each secret from the one
before, so two that go on from one place have the same keys until one of their records differs, and it is
that record which has the nonce of the other's. What remains is to see to it that only one goes on:

- **The socket.** Only who has it seals. It travels with COMMIT, so that one process has it
  (docs/design/handoff.md), and what is sealed without it could not be sent.
- **The freeze.** It stops the source from sealing, until the source knows that the move has led to nothing.
  What has been sealed and not written travels as it is.
- **Its number.** The snapshot has the number of its freeze, and COMMIT says it again. A snapshot of an
  attempt that was given up, after which the source may have sealed more, has another number than any COMMIT
  that still comes: it is not gone on with, whatever else has failed.
- **The release.** Who has let go has overwritten the secrets, and cannot seal.

    owned ── freeze ──► frozen ── resume ──► owned          the source: the move was given up
                          └────── release ─► released       the source: the kernel has taken COMMIT
    thawed ── own ────► owned                               the target: it has the socket
       └───── release ► released                            the target: the offer was withdrawn
"""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["OWNERSHIP", "Ownership", "OwnershipEvent"]


class Ownership(Enum):
    #: It has the socket, and seals.
    OWNED = auto()
    #: A snapshot of it is under way. It seals nothing, and opens nothing.
    FROZEN = auto()
    #: Made of a snapshot; the socket has not come.
    THAWED = auto()
    #: It is another process's, or nobody's: the secrets have been overwritten.
    RELEASED = auto()


class OwnershipEvent(Enum):
    FREEZE = auto()
    RESUME = auto()
    OWN = auto()
    RELEASE = auto()


_O, _E = Ownership, OwnershipEvent

#: What follows on what. A missing row is a mistake of the caller's.
OWNERSHIP: dict[tuple[Ownership, OwnershipEvent], Ownership] = {
    (_O.OWNED, _E.FREEZE): _O.FROZEN,
    (_O.OWNED, _E.RELEASE): _O.RELEASED,
    (_O.FROZEN, _E.RESUME): _O.OWNED,
    (_O.FROZEN, _E.RELEASE): _O.RELEASED,
    (_O.THAWED, _E.OWN): _O.OWNED,
    (_O.THAWED, _E.RELEASE): _O.RELEASED,
    (_O.RELEASED, _E.RELEASE): _O.RELEASED,
}
