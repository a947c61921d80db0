"""What an operator may expect of the server, whatever has become of its brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorrpc.broker.processes.hub_process import QUICK
from actorrpc.pb.record_pb2 import Server
from tests.broker.life.broker import HUBS, Broker
from tests.broker.life.processes import DRAIN_TIMEOUT, Hub

if TYPE_CHECKING:
    from tests.broker.life.world import World

__all__ = ["Expected"]

#: More than there ever are.
MOST = 100


class Expected:
    def __init__(self) -> None:
        self.disk_was_full = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """A server starts of which nothing is left."""
        #: How many hubs there may be: more than one number where nobody can know.
        self._counts, self._before = {HUBS}, HUBS
        #: By hub: whether it may be drained by hand, and the generation in which that was said.
        self._drained: dict[int, tuple[set[bool], int]] = {}
        #: Generations that were asked for; those that need not come, since something happened to them.
        self._begun: set[int] = set()
        self._spoilt: set[int] = set()
        #: By generation, how many new processes were written down.
        self._written: dict[int, int] = {}
        self._generation = 1
        #: For how many seconds nobody has served for long who could take anything.
        self._nobody = 0.0

    # ---- what happens

    def spoilt(self, hub: Hub) -> None:
        """Something has happened to a process that keeps its generation from coming, if it has not come."""
        if not hub.joined:
            self._spoilt.add(hub.generation)

    def stops(self) -> None:
        """The server is to stop: what is under way goes no further, if it does not."""
        self._spoilt |= self._begun
        self._counts.add(self._before)

    def written(self, server: Server) -> None:
        """A broker has written that down."""
        if server.HasField("reload") and server.reload.successors:
            self._written[server.reload.generation.number] = len(server.reload.successors)

    def broker_comes(self, world: World) -> None:
        """After another one. A generation that is not ready may be abandoned."""
        for generation in self._begun:
            ready = {hub.number for hub in world.living if hub.generation == generation and hub.ready}
            if len(ready) < self._written.get(generation, MOST):
                self._spoilt.add(generation)

    def reloads(self, generation: int) -> None:
        """A reload is asked for."""
        assert generation not in self._written, f"generation {generation} was begun before"
        self._begun.add(generation)

    def reloads_not(self, generation: int) -> None:
        """It was refused."""
        self._begun.discard(generation)

    def drains(self, broker: Broker, number: int, drained: bool, answer: str) -> None:
        """An operator has drained a hub, or undone that."""
        if answer in ("done", "unknown"):
            generation = broker.supervisor.deployment.generation.number
            known = {drained} if answer == "done" and not self.disk_was_full else {True, False}
            self._drained[number] = known, generation

    def scales(self, before: int, count: int, answer: str) -> None:
        if answer not in ("done", "unknown"):
            return
        assert before in self._counts, f"there are {before} hubs, and may be {self._counts}"
        self._before = before
        is_certain = answer == "done" and count <= before and not self.disk_was_full
        self._counts = {count} if is_certain else {before, count}
        for number in range(count, before):
            self._drained[number] = {True, False}, self._generation

    def passes(self, world: World, seconds: float) -> None:
        """So much time has passed. Fewer hubs need not come if those that stay do not serve."""
        settled = world.clock.now - QUICK
        there = any(hub.able and not hub.resting and hub.serves_since <= settled for hub in world.living)
        self._nobody = 0.0 if there else self._nobody + seconds
        if self._nobody >= DRAIN_TIMEOUT + QUICK - 2:
            self._counts.add(self._before)

    def joins(self, world: World, hub: Hub) -> None:
        """A process serves."""
        if hub.generation > self._generation:
            same = {each.number for each in world.hubs if each.generation == hub.generation and each.ready}
            hubs = range(len(world.broker.supervisor.hubs))
            assert same >= {*hubs}, f"{hub} serves before all hubs of its generation are ready"
            self._generation = hub.generation
        assert hub.generation == self._generation, f"{hub} serves after generation {self._generation}"

    # ---- at rest

    def check(self, world: World) -> None:
        deployment, hubs = world.broker.supervisor.deployment, world.broker.supervisor.hubs
        assert len(hubs) in self._counts, f"there are {len(hubs)} hubs, and may be {self._counts}"
        status = deployment.status()
        number = deployment.generation.number
        if status is not None:
            assert status["phase"] == ("done" if status["generation"] == number else "abandoned")
        due = max(self._begun - self._spoilt, default=0)
        assert number >= due, f"generation {due} was abandoned, and all its hubs were ready"
        for slot in hubs:
            may, generation = self._drained.get(slot.id, ({False}, number))
            drained = may if generation == number else {False}
            assert slot.drained in drained, f"hub {slot.id} is drained: {slot.drained}"
            assert slot.process is not None
            hub = world.hub(slot.process.serial)
            assert hub.resting == slot.drained, f"{hub} gives away what it has: {hub.resting}"

    def may_refuse(self, why: str) -> bool:
        """Whether a broker may say so of hubs that serve on."""
        return why.endswith(("none of them answers", "already in use")) or (
            "is missing" in why and self.disk_was_full
        )
