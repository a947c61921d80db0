"""A drain of a hub in which thousands of connections stay for now: it must not hold up what they do."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from actorrpc.hub.moving import drain as module
from actorrpc.hub.moving.drain import LOOKS, PACE, ROUND, Drain
from actorrpc.hub.moving.move_cost import Cost
from tests.support.waiting import until

MANY = 20 * LOOKS


class World:
    """Connections whose handlers have run for long."""

    def __init__(self) -> None:
        self.connections: dict[str, Any] = {str(number): self.connection(number) for number in range(MANY)}
        #: In which order they were looked at, and those whose cost was asked for.
        self.looked: list[str] = []
        self.priced: list[str] = []
        self.moved: list[str] = []

    def connection(self, number: int) -> Any:
        return SimpleNamespace(id=str(number), busy=True)

    def why_not_now(self, connection: Any) -> str:
        self.looked.append(connection.id)
        return "handler Long running" if connection.busy else ""

    def cost(self, connection: Any) -> Cost:
        self.priced.append(connection.id)
        return Cost(0.0, 0.0)

    def begin(self) -> Drain:
        return Drain(
            self.connections,
            lambda id, target, done: self.moved.append(id),
            self.cost,
            {7: None},
            {7: 0},
            30.0,
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(module, "why_not_now", world.why_not_now)
    return world


@pytest.fixture
def drain(world: World) -> Iterator[Drain]:
    drain = world.begin()
    yield drain
    drain.close()


def test_few_are_looked_at_in_one_step(world: World, drain: Drain) -> None:
    assert len(world.looked) == LOOKS
    until(lambda: len(world.looked) == MANY, sleep=gevent.sleep)
    assert world.looked == list(world.connections)
    assert world.priced == []


def test_the_more_stay_the_longer_until_they_are_looked_at_again(world: World, drain: Drain) -> None:
    until(lambda: len(world.looked) == MANY, sleep=gevent.sleep)
    stays = list(drain._stays.values())
    assert stays[0].wait == ROUND
    assert stays[-1].wait == pytest.approx(PACE * (MANY - 1))
    assert stays[-1].wait > ROUND
    for id in (str(MANY - 1), "0"):
        world.connections[id].busy = False
        until(lambda id=id: id in world.moved, sleep=gevent.sleep)  # type: ignore[misc]
