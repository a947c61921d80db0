"""The homes that a hub goes by, whatever it hears of versions, releases and deaths, and in which order."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from actorrpc.hub.topics.homes import Homes, Place
from actorrpc.hub.topics.succession import Succession
from actorrpc.pb.control_pb2 import Released

ALL = {0, 1, 2, 3}


def beside(hub: int = 3) -> Succession:
    """A hub that knows that 0 and 1 have a slot each."""
    succession = Succession(hub)
    succession.learn(1, [0, 1], [1, 1], {})
    return succession


def release(succession: Succession, source: int, version: int, home: int) -> None:
    succession.release(source, Released(version=version, home=home))


def places(succession: Succession, linked: Collection[int] = ALL) -> list[Place]:
    """Where it has them when it has gone on as far as it may."""
    while succession.advance(linked):
        pass
    return succession.homes.places


def test_a_slot_stays_until_it_is_released():
    succession = beside()
    succession.learn(2, [2, 1], [2, 1], {0: 0})
    assert places(succession) == [(0, 1), (1, 1)]
    release(succession, 1, 2, 2)  # not by its home
    release(succession, 0, 1, 2)  # nor of this version
    release(succession, 0, 2, 1)  # nor for this hub
    assert places(succession) == [(0, 1), (1, 1)]
    assert succession.coming == {(2, 2)}
    release(succession, 0, 2, 2)
    assert places(succession) == [(2, 2), (1, 1)]
    assert succession.coming == frozenset()


@pytest.mark.parametrize("hub", [0, 3])
def test_only_the_former_home_turns_at_once(hub):
    succession = beside(hub)
    succession.learn(2, [2, 1], [2, 1], {0: 0})
    assert places(succession)[0] == ((2, 2) if hub == 0 else (0, 1))


def test_a_home_that_has_died_releases_nothing_and_is_not_waited_for():
    succession = beside()
    succession.learn(2, [2, 1], [2, 1], {0: 0})
    assert places(succession, ALL - {0}) == [(2, 2), (1, 1)]
    succession.learn(3, [2, 0], [2, 3], {})
    assert places(succession) == [(2, 2), (0, 3)]


@pytest.mark.parametrize("first", [0, 1])
def test_who_has_released_a_slot_had_got_it_from_the_home_before(first: int):
    """Also where that one's release has been lost with a link."""
    succession = beside()
    succession.learn(2, [1, 1], [2, 1], {0: 0})
    succession.learn(3, [2, 1], [3, 1], {0: 1})
    if first == 0:
        release(succession, 0, 2, 1)
        assert places(succession) == [(1, 2), (1, 1)]
    release(succession, 1, 3, 2)
    assert places(succession) == [(2, 3), (1, 1)]


def test_a_home_that_dies_before_it_is_one_is_left_out():
    succession = beside()
    succession.learn(2, [1, 1], [2, 1], {0: 0})
    succession.learn(3, [2, 2], [3, 3], {0: 0})
    release(succession, 0, 2, 1)
    assert places(succession) == [(0, 1), (2, 3)]
    release(succession, 0, 3, 2)
    assert places(succession) == [(2, 3), (2, 3)]


def test_a_hub_that_has_just_come_has_its_slots_when_they_are_released():
    succession = Succession(2)
    succession.learn(5, [2, 1, 0], [5, 3, 4], {0: 0, 2: 1})
    assert places(succession) == [(0, 0), (1, 3), (0, 4)]
    assert succession.arriving(0, 5)
    assert not succession.arriving(1, 5)
    release(succession, 0, 5, 2)
    assert places(succession)[0] == (2, 5)
    assert not succession.arriving(0, 5)


def test_who_has_released_a_slot_has_released_all_that_it_had_of_it_before():
    """It was to give the slot to hub 1, which has died, and got it back; that it has said so is lost."""
    succession = beside()
    succession.learn(2, [0, 1], [2, 1], {0: 0})
    succession.learn(3, [2, 1], [3, 1], {0: 0})
    assert places(succession) == [(0, 1), (1, 1)]
    release(succession, 0, 3, 2)
    assert places(succession) == [(2, 3), (1, 1)]


@pytest.mark.parametrize("homes", [[2, 1], [3, 1]])
def test_who_is_not_said_to_hand_over_any_more_is_not_waited_for(homes: list[int]):
    """It has, as far as all that live are concerned, or it never will."""
    succession = beside()
    succession.learn(2, [2, 1], [2, 1], {0: 0})
    terms = [2 if homes[0] == 2 else 3, 1]
    succession.learn(3, homes, terms, {})
    assert places(succession) == [(homes[0], terms[0]), (1, 1)]
    assert succession.coming == frozenset()


def test_pieces_of_a_version_that_is_not_known_yet_may_come():
    assert beside().arriving(0, 2)
    assert not beside().arriving(0, 1)


def test_homes_that_are_told_by_more_slots_than_before():
    succession = beside()
    succession.learn(2, [2, 1], [2, 1], {0: 0})
    succession.learn(3, [2, 1, 2, 0], [2, 1, 2, 3], {0: 0, 2: 0, 3: 1})
    assert places(succession) == [(0, 1), (1, 1), (0, 1), (1, 1)]
    release(succession, 0, 2, 2)
    assert places(succession) == [(2, 2), (1, 1), (2, 2), (1, 1)]
    release(succession, 1, 3, 0)
    assert places(succession) == [(2, 2), (1, 1), (2, 2), (0, 3)]


def test_homes_without_terms_keep_those_of_slots_that_stay():
    homes = Homes(4, (0, 1), (2, 3)).after(5, [0, 2, 1])
    assert homes.places == [(0, 2), (2, 5), (1, 5), (0, 5), (2, 5), (1, 3)]
    assert homes.has(1, 3) and not homes.has(2, 3)
