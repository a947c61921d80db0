"""Topics under every interleaving that hypothesis finds, and those that went wrong before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from actorrpc.hub import node, topics
from tests.topics.model import HUBS, TOPICS, World


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Limits that a few messages reach."""
    monkeypatch.setattr(topics, "MAX_WAITING", 2)
    if hasattr(node, "MAX_UNSENT_TOPICS"):
        monkeypatch.setattr(node, "MAX_UNSENT_TOPICS", 100)
    return monkeypatch


@pytest.fixture
def world(small: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(small)
    yield world
    world.close()


def topic_of(world: World, home: int) -> str:
    return next(topic for topic in TOPICS if world.home(topic) == home)


def finish(world: World) -> None:
    world.settle()
    world.check()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order(small: pytest.MonkeyPatch, data: st.DataObject) -> None:
    world = World(small, body=bytes(data.draw(st.sampled_from([0, 30]), "size of messages")))
    try:
        length = data.draw(st.integers(1, 120), "steps")
        for _ in range(length):
            kinds = [world.steps(), world.wishes(), world.steps(), world.wishes(), world.chaos()]
            # Most of the time what goes on goes on; a death is rarer than all else.
            steps = kinds[data.draw(st.sampled_from([0, 0, 0, 0, 1, 1, 1, 1, 1, 4]), "kind")]
            if steps:
                name = data.draw(st.sampled_from(sorted(steps)), "step")
                steps[name]()
                world.after()
        event(f"{sum(world.generations.values()) - HUBS} hubs started again")
        finish(world)
        if hasattr(topics.Topics, "linked"):
            world.check_nothing_is_kept()
    finally:
        world.close()
