"""Whether a hub accepts while it gives away what it has, and while nobody is there to take it."""

from __future__ import annotations

from typing import Any

import pytest

from actorrpc.hub.moving.draining import Draining
from actorrpc.pb.control_pb2 import Load


@pytest.fixture
def rests() -> list[bool]:
    """Whether the hub was to rest, each time that it was told."""
    return []


@pytest.fixture
def draining(rests: list[bool]) -> Draining:
    unused: Any = type("Mover", (), {"move": None, "cost": None, "why_unfit": None})()
    return Draining({}, unused, {7: None, 9: None}, rests.append, drain_timeout=1.0)


def test_a_hub_that_is_drained_rests_until_it_goes_on(draining: Draining, rests: list[bool]) -> None:
    draining.drain({7: 0})
    draining.drain({9: 0})
    assert (rests, draining.under_way) == ([True], True)
    draining.drain({})
    assert (rests, draining.under_way) == ([True, False], False)


def test_a_hub_that_holds_accepts_and_tells_of_its_drain(draining: Draining, rests: list[bool]) -> None:
    draining.drain({7: 0})
    draining.drain({}, hold=True)
    draining.drain({}, hold=True)
    assert rests == [True, False]
    load = Load()
    draining.tell(load)
    assert draining.under_way and load.HasField("draining")
    draining.drain({9: 0})
    assert rests == [True, False, True]


def test_a_hub_may_hold_from_the_beginning(draining: Draining, rests: list[bool]) -> None:
    draining.drain({}, hold=True)
    assert (rests, draining.under_way) == ([False], True)
    draining.drain({9: 0})
    assert rests == [False, True]


def test_a_hub_that_holds_gives_all_to_all_when_it_has_to(draining: Draining, rests: list[bool]) -> None:
    """It is told to end, and there is no broker."""
    draining.drain({}, hold=True)
    assert draining.drain_to_all()
    assert rests == [False, True]
