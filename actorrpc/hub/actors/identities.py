"""How many identities a connection has actors of, and when these end because nobody has called them. The
actors themselves are in ``cells``.

A proxy puts calls of many clients on one connection, and keeps that when they have gone. So each identity has
actors of its own, and they end when nobody has called them for a while. A connection without identities has
nothing of this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from time import monotonic
from typing import Any

from actorrpc.config import Config
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.actors.mailbox import is_mostly_stale
from actorrpc.hub.calls.call import ServerCall

__all__ = ["Identities"]

#: When to look again at an actor that should end, and has something to do.
_LATER = 1.0


@dataclass(slots=True, eq=False, repr=False)
class _Member:
    """One identity: its actors, its open calls, and since when it has had none."""

    identity: str
    since: float
    cells: list[Cell] = field(default_factory=list)
    calls: int = 0


@dataclass(slots=True, eq=False, repr=False)
class Identities:
    """The identities of one connection that have actors.

    Each is looked at when it may have been idle for long enough, and then put off until it may be. What
    happens often, that calls begin and end, is only noted.
    """

    _config: Config
    _members: dict[str, _Member] = field(default_factory=dict)
    #: A heap: when to look at which, once each, and a number to tell two of one time apart.
    _looks: list[tuple[float, int, _Member]] = field(default_factory=list)
    _order: count[int] = field(default_factory=count)

    def __len__(self) -> int:
        return len(self._members)

    def check_room(self, identity: str) -> None:
        """Raise RpcError if one more would be too many."""
        most = self._config.max_identities
        if identity not in self._members and len(self._members) >= most:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"calls of {most} identities came on this connection: no more may",
            )

    def add(self, cell: Cell, since: float | None = None) -> None:
        """An actor has been made for its identity, whose last call ended then, if there was one."""
        now = monotonic() if since is None else since
        member = self._members.get(cell.identity)
        if member is None:
            member = self._members[cell.identity] = _Member(cell.identity, now)
            self._look(member, now + self._config.identity_idle)
        member.cells.append(cell)
        member.since = max(member.since, now)

    def forget(self, cell: Cell) -> None:
        """An actor could not be made."""
        member = self._members.get(cell.identity)
        if member is not None and cell in member.cells:
            member.cells.remove(cell)
            if not member.cells:
                del self._members[cell.identity]
                if is_mostly_stale(len(self._looks) - len(self._members), len(self._looks)):
                    self._looks = [look for look in self._looks if self._has(look[2])]
                    heapify(self._looks)

    def began(self, identity: str) -> None:
        """A call has been let through to one of its actors."""
        self._members[identity].calls += 1

    def ended(self, call: ServerCall[Any]) -> None:
        """A call has ended: perhaps an identity's, that had been let through."""
        cell = call.receiver
        member = self._members.get(cell.identity) if isinstance(cell, Cell) else None
        if member is not None:
            member.calls -= 1
            member.since = monotonic()

    def idle(self, identity: str, now: float) -> float:
        """Seconds since it had its last call."""
        member = self._members[identity]
        return 0.0 if member.calls else max(0.0, now - member.since)

    def _has(self, member: _Member) -> bool:
        """False: its actors could not be made."""
        return self._members.get(member.identity) is member

    def _look(self, member: _Member, when: float) -> None:
        heappush(self._looks, (when, next(self._order), member))

    @property
    def due(self) -> float:
        """When the next one may have to end."""
        return self._looks[0][0]

    def sweep(self) -> list[Cell]:
        """Take out those that have had no call for long enough. Returns their actors, which are to end."""
        now = monotonic()
        ended: list[Cell] = []
        while self._looks and self._looks[0][0] <= now:
            _, _, member = heappop(self._looks)
            if not self._has(member):
                continue
            ends = (now if member.calls else member.since) + self._config.identity_idle
            if ends > now:
                self._look(member, ends)
            elif any(cell.busy for cell in member.cells):
                self._look(member, now + _LATER)
            else:
                del self._members[member.identity]
                ended += member.cells
        return ended

    def __repr__(self) -> str:
        return f"<Identities {len(self._members)}, {len(self._looks)} looks due>"
