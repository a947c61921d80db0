"""Hubs that are killed in the midst of a storm, one at a time, and what has to become of their clients.

A hub that dies takes its connections with it, and no other; each client of it hears so at once, whatever else
lives on, such as children that other hubs have forked. Then the hub serves again, and all clients are back.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.crew import Crew, Lost
from tests.chaos.figures import tcp_state
from tests.chaos.mover import ACTORS, Mover
from tests.support.server_process import ServerProcess

__all__ = ["Death", "Deaths"]

#: "At once", for a client whose hub has died, on a machine that has other things to do.
PROMPT = 8.0
#: How long a subscription may take to ask its topic's home, after a move, for what it has missed.
JUST = 1.0
#: For up to so many seconds a hub may hang before it is killed: no longer than a move waits for what hangs.
HANGS = 0.6
#: Until the hub serves again and all clients are back.
PATIENCE = 60.0
#: Between two looks at the broker's status.
LOOK = 0.2


@dataclass
class Death:
    """One hub that was killed. ``there``: the clients and actors it had; ``moving``: those that were on their
    way; ``moved``: those that had come to where they are just before."""

    hub: int
    pid: int
    at: float
    there: set[str]
    moving: set[str]
    moved: set[str]


class Deaths:
    """Kills a hub now and then, for as long as ``step`` is called."""

    def __init__(
        self,
        server: ServerProcess,
        crews: Sequence[Crew],
        mover: Mover,
        chance: random.Random,
        every: float,
        most: int,
    ) -> None:
        self.all: list[Death] = []
        #: Every process that has been a hub.
        self.pids: set[int] = set()
        #: From a death to when each client knew, and to when all were back, in seconds.
        self.heard: list[float] = []
        self.recovered: list[float] = []
        self._server = server
        self._crews = crews
        self._mover = mover
        self._chance = chance
        self._every = every
        self._most = most if every else 0
        self._due = time.monotonic() + every / 2
        self._look_at = 0.0
        self._clients = mover.clients
        self._actors = mover.actors
        #: Those that were lost and have been accounted for.
        self._judged: set[Lost] = set()
        self._death: Death | None = None
        #: A hub that hangs, and when it is to be killed.
        self._doomed: Death | None = None
        self._kill_at = 0.0
        self.note_pids()

    @property
    def under_way(self) -> bool:
        """A hub has died, and not everything is as it was."""
        return self._death is not None or self._doomed is not None

    def step(self, *, may_begin: bool = True) -> list[str]:
        """Do what is due. Returns what is wrong."""
        now = time.monotonic()
        if self._doomed is not None:
            if now >= self._kill_at:
                self._kill(self._doomed)
        elif self._death is not None:
            if now >= self._look_at:
                self._look_at = now + LOOK
                return list(self._see(self._death, now))
        elif new := self._lost() - self._judged:
            self._judged |= new
            return [f"no hub has died, and {each.peer} says {each.why}" for each in new]
        elif may_begin and len(self.all) < self._most and now >= self._due:
            self._begin()
        return []

    def _begin(self) -> None:
        """Every other hub hangs for a moment before it dies, so that things wait for it."""
        hub = self._choose()
        for crew in self._crews:
            crew.say("death")
        moved = self._mover.moved_since(time.monotonic() - JUST)
        there, moving = self._mover.hub_dies(hub["id"])
        self._doomed = Death(hub["id"], hub["pid"], time.monotonic(), there, moving, moved)
        if len(self.all) % 2:
            self._kill(self._doomed)
        else:
            os.kill(hub["pid"], signal.SIGSTOP)
            self._kill_at = time.monotonic() + self._chance.uniform(0.1, HANGS)

    def _kill(self, death: Death) -> None:
        os.kill(death.pid, signal.SIGKILL)
        self._doomed = None
        self._death = replace(death, at=time.monotonic())
        self.all.append(self._death)

    def _choose(self) -> dict[str, Any]:
        """Slots of topics go from a hub that dies to the others, and never back: so the one that died last is
        the home of none, and another's turn comes."""
        last = self.all[-1].hub if self.all else None
        return self._chance.choice([hub for hub in self._hubs() if hub["id"] != last])

    def _see(self, death: Death, now: float) -> Iterator[str]:
        lost = self._lost() - self._judged
        known = {each.peer for each in lost}
        clients = {each for each in death.there if not _is_actor(each)}
        overdue = clients - known if now - death.at > PROMPT else set()
        if overdue:
            yield f"hub {death.hub} died {PROMPT} s ago, and its clients {sorted(overdue)} do not know"
        for each in lost:
            if each.peer not in death.there | death.moving and "DATA_LOSS" not in each.why:
                where = self._mover.where(each.peer)
                yield f"hub {death.hub} died, and {each.peer}, which was not there ({where}), says {each.why}"
        if now - death.at > PATIENCE:
            yield (
                f"hub {death.hub} died {PATIENCE} s ago, and not all is back: {self._hubs()}; "
                f"lost {lost}; {self._differences()}"
            )
        elif overdue or not clients <= known or not self._serves(death):
            return
        elif sum(len(crew.back) for crew in self._crews) == len(self._lost()) and self._mover.quiet:
            self._mover.look()
            if self._mover.clients == self._due_clients() and self._mover.actors == self._actors:
                self._end(death, lost)

    def _differences(self) -> str:
        """Which connections there are too many of, as the server has them, and which are missing."""
        there, due = self._mover.clients, self._due_clients()
        more = [row for row in self._server.connections() if row["peer"] in there - due]
        ends = {row["peer"]: tcp_state(row["peer"]) for row in more}
        missing = sorted(due - there) + sorted(self._actors - self._mover.actors)
        return f"connections too many: {more}, their clients' ends {ends}; missing: {missing}"

    def _serves(self, death: Death) -> bool:
        row = self._hubs()[death.hub]
        return bool(row["state"] == "serving" and row["pid"] != death.pid)

    def _end(self, death: Death, lost: set[Lost]) -> None:
        self._mover.hub_lives(death.hub)
        self._judged |= lost
        self.note_pids()
        now = time.monotonic()
        self.heard.extend(each.at - death.at for each in lost)
        self.recovered.append(now - death.at)
        self._due = now + self._every
        self._death = None

    def _due_clients(self) -> set[str]:
        """Those that should be there, counted: who comes back may have the address of one that went."""
        due = Counter(self._clients)
        due.update(peer for crew in self._crews for peer in crew.back)
        due.subtract(each.peer for each in self._lost())
        return {peer for peer, count in due.items() if count > 0}

    def _lost(self) -> set[Lost]:
        return {each for crew in self._crews for each in crew.lost}

    def _hubs(self) -> list[dict[str, Any]]:
        hubs: list[dict[str, Any]] = self._server.status()["hubs"]
        return hubs

    def note_pids(self) -> None:
        """Know the processes that are hubs now."""
        self.pids.update(hub["pid"] for hub in self._hubs())

    def __repr__(self) -> str:
        return f"<Deaths of {[death.hub for death in self.all]}{', under way' * self.under_way}>"


def _is_actor(what: str) -> bool:
    """And not the address of a client."""
    return what.startswith(f"{ACTORS}/")
