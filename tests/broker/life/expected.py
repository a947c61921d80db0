"""What an operator may expect of the server, whatever has become of its brokers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.broker.life.broker import HUBS, Broker
from tests.broker.life.processes import Hub

if TYPE_CHECKING:
    from tests.broker.life.world import World

__all__ = ["Expected"]


class Expected:
    def __init__(self) -> None:
        self.disk_was_full = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """A server starts of which nothing is left."""
        #: How many hubs there may be: more than one number where nobody can know.
        self._counts = {HUBS}
        #: By hub: whether it may be drained by hand, and the generation in which that was said.
        self._drained: dict[int, tuple[set[bool], int]] = {}
        #: Generations that were asked for; those that need not come, since something happened to them.
        self._begun: set[int] = set()
        self._spoilt: set[int] = set()
        self._generation = 1

    # ---- what happens

    def spoilt(self, hub: Hub) -> None:
        """Something has happened to a process that keeps its generation from coming, if it has not come."""
        if not hub.joined:
            self._spoilt.add(hub.generation)

    def broker_gone(self, world: World) -> None:
        """A generation that is not ready then is abandoned."""
        for generation in self._begun:
            started = [hub for hub in world.hubs if hub.generation == generation]
            if not (broker := world.served) or len({hub.number for hub in started if hub.ready}) < len(
                broker.supervisor.hubs
            ):
                self._spoilt.add(generation)

    def reloads(self, generation: int) -> None:
        """A reload is asked for."""
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
        is_certain = answer == "done" and count <= before and not self.disk_was_full
        self._counts = {count} if is_certain else {before, count}
        for number in range(count, before):
            self._drained[number] = {True, False}, self._generation

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
        assert status is None or status["phase"] in ("done", "abandoned")
        number = deployment.generation.number
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
