"""Reloads in the midst of a storm: all that the old hubs have moves to new ones, and no client may notice.

No hub is killed while a reload is under way, and none begins after a death before everything is as it was:
``test_life`` does that.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actorrpc.pb.admin_pb2 import Request
from tests.chaos.mover import Mover
from tests.support.server_process import ServerProcess

__all__ = ["Reloaded", "Reloads"]

#: Until the new generation serves and the old one has ended.
PATIENCE = 60.0
#: Between two looks at the broker's status.
LOOK = 0.2


@dataclass(frozen=True)
class Reloaded:
    """One reload that has ended by ``at``: how long it took, in seconds, and how many connections it has
    moved."""

    at: float
    generation: int
    seconds: float
    moved: int


class Reloads:
    """Reloads now and then, for as long as ``step`` is called. ``books``: where hubs that end leave theirs,
    if they keep any."""

    def __init__(
        self, server: ServerProcess, mover: Mover, books: Path | None, every: float, most: int
    ) -> None:
        self.all: list[Reloaded] = []
        self._server = server
        self._mover = mover
        self._books = books
        self._every = every
        self._most = most if every else 0
        self._due = time.monotonic() + every / 2
        self._look_at = 0.0
        #: The generation that is to serve, and since when; the processes that are to end.
        self._generation: int | None = None
        self._began = 0.0
        self._old: set[int] = set()

    @property
    def under_way(self) -> bool:
        return self._generation is not None

    @property
    def moved(self) -> int:
        """Connections, by all of them."""
        return sum(each.moved for each in self.all)

    def step(self, *, may_begin: bool) -> list[str]:
        """Do what is due. Returns what is wrong."""
        now = time.monotonic()
        if self._generation is not None:
            if now >= self._look_at:
                self._look_at = now + LOOK
                return list(self._see(self._generation, now))
        elif may_begin and len(self.all) < self._most and now >= self._due:
            self._begin()
        return []

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._old = {hub["pid"] for hub in self._server.status()["hubs"]}
        self._mover.reload_begins()
        self._generation = self._server.ask(Request(reload=Request.Reload()))["generation"]

    def _see(self, generation: int, now: float) -> Iterator[str]:
        state = self._server.status()["reload"]
        if state["phase"] == "done":
            if not self._mover.quiet:
                return
            self._mover.look()  # for where it has moved actors
            self._generation = None
            self._due = now + self._every
            self._mover.reload_ended()
            self.all.append(Reloaded(now, generation, state["seconds"], state["moved"]))
            yield from self._judge(state)
        elif state["phase"] == "abandoned" or now - self._began > PATIENCE:
            yield f"a reload has not ended as it should after {now - self._began:.1f} s: {state}"

    def _judge(self, state: dict[str, Any]) -> Iterator[str]:
        if state["error"] or state["ended"]["count"]:
            yield f"a reload has ended what should have moved: {state}"
        for pid in self._old:
            if self._books is not None and not (self._books / str(pid)).exists():
                yield f"hub process {pid} has ended with a reload, and has left no book"

    def __repr__(self) -> str:
        return f"<Reloads to {[each.generation for each in self.all]}{', one under way' * self.under_way}>"
