"""The choice of a hub for a fresh connection, without any hub."""

from __future__ import annotations

from collections import Counter

import pytest

from actorrpc.hub.accepting.least_loaded import BAND, Estimate, choose


def hub(connections: int = 0, busy: float = 0.0, room: int | None = None) -> Estimate:
    return Estimate(connections=connections, busy=busy, room=room)


def give(hubs: dict[int, Estimate], count: int) -> Counter[int]:
    """Place connections one after the other, with no word of a hub between them."""
    given: Counter[int] = Counter()
    for _ in range(count):
        chosen = choose(hubs)
        if chosen is None:
            break
        hubs[chosen].under_way += 1
        hubs[chosen].fresh += 1
        given[chosen] += 1
    return given


@pytest.mark.parametrize(
    ("hubs", "chosen"),
    [
        ({}, None),
        ({0: hub()}, 0),
        ({0: Estimate()}, None),  # it has told nothing
        ({0: hub(room=0), 1: hub(connections=9, room=1)}, 1),
        ({0: hub(busy=0.9), 1: hub(connections=50, busy=0.2)}, 1),
        ({0: hub(connections=5), 1: hub(connections=4, busy=BAND / 2)}, 1),  # about as busy
        ({1: hub(connections=4), 0: hub(connections=4)}, 0),
        ({0: Estimate(room=None, silent=True), 1: hub(connections=9, busy=1.0)}, 1),
        ({0: Estimate(room=None, over_memory=True), 1: hub(connections=9, busy=1.0)}, 1),
        ({0: Estimate(room=None, over_memory=True), 1: hub(room=0)}, 0),
        ({0: hub(busy=0.5), 1: hub(busy=0.1)} | {2: Estimate(room=None, over_memory=True)}, 1),
    ],
)
def test_choose(hubs: dict[int, Estimate], chosen: int | None) -> None:
    assert choose(hubs) == chosen


def test_a_hub_that_was_tried_is_left_out() -> None:
    assert choose({0: hub(), 1: hub(connections=3)}, excluded=[0]) == 1
    assert choose({0: hub()}, excluded=[0]) is None


def test_a_burst_between_two_words_of_a_hub_spreads_evenly() -> None:
    given = give({number: hub() for number in range(4)}, 1000)
    assert set(given.values()) == {250}


def test_a_burst_evens_out_what_was_uneven() -> None:
    assert give({0: hub(connections=100), 1: hub(connections=20)}, 100) == {0: 10, 1: 90}


def test_a_burst_does_not_all_go_to_the_hub_that_was_least_busy() -> None:
    """50 connections make 100 % of load, so each counts for 2 %: 35 of them make up for 70 %."""
    hubs = {0: hub(connections=25, busy=0.85), 1: hub(connections=25, busy=0.15)}
    given = give(hubs, 200)
    assert given[1] > given[0] > 0
    assert give({0: hub(25, 0.85), 1: hub(25, 0.15)}, 20) == {1: 20}


def test_no_hub_gets_more_than_it_has_room_for() -> None:
    hubs = {0: hub(room=3), 1: hub(room=5), 2: hub(room=0)}
    assert give(hubs, 100) == {0: 3, 1: 5}
    hubs[0].hear(connections=2, busy=0.0, room=1)  # two of the three were counted, one is on its way
    hubs[0].under_way = 1
    assert not hubs[0].open
    hubs[0].hear(connections=2, busy=0.0, room=2)
    assert give(hubs, 100) == {0: 1}


def test_what_was_given_is_forgotten_as_the_load_shows() -> None:
    estimate = hub()
    estimate.fresh = 100
    for _ in range(100):
        estimate.tick()
    assert estimate.fresh < 1
