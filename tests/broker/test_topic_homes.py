"""Homes of topics: tables, then the rules for any history."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.broker.topic_homes import SLOTS, assign, terms

NOBODY = -1


@pytest.mark.parametrize(
    ("homes", "living", "wanted"),
    [
        ([NOBODY] * 4, [0, 1], [0, 1, 0, 1]),
        ([NOBODY] * 4, [0], [0, 0, 0, 0]),
        ([NOBODY] * 4, [2, 0, 1], [0, 1, 2, 0]),
        ([0, 1, 0, 1], [0, 1], [0, 1, 0, 1]),
        ([0, 1, 0, 1], [0], [0, 0, 0, 0]),
        ([0, 0, 0, 0], [0, 1], [0, 0, 0, 0]),  # hub 1 came back
        ([0, 0, 0, 0], [1], [1, 1, 1, 1]),  # and hub 0 died
        ([0, 1, 2, 0, 1, 2], [0, 2], [0, 0, 2, 0, 2, 2]),
        ([0, 0, 0, 1], [0, 2], [0, 0, 0, 2]),
        ([0, 1], [], [0, 1]),
        ([], [0], []),
    ],
)
def test_assign(homes: list[int], living: list[int], wanted: list[int]) -> None:
    assert assign(homes, living) == wanted


hubs = st.frozensets(st.integers(0, 7), max_size=8)


@given(st.lists(hubs, min_size=1, max_size=12))
def test_any_history_of_births_and_deaths(history: list[frozenset[int]]) -> None:
    homes = [NOBODY] * SLOTS
    for living in history:
        before, homes = homes, assign(homes, living)
        assert len(homes) == SLOTS
        if not living:
            assert homes == before
            continue
        assert set(homes) <= living
        assert all(now == was for now, was in zip(homes, before, strict=True) if was in living)
        # Who got some has at most one more than any other hub.
        counts = Counter(homes)
        given_to = {now for now, was in zip(homes, before, strict=True) if was not in living}
        for hub in given_to:
            assert counts[hub] - 1 <= min(counts[other] for other in living)


def test_at_first_all_have_equally_many() -> None:
    for count in range(1, 20):
        counts = Counter(assign([NOBODY] * SLOTS, range(count))).values()
        assert max(counts) - min(counts) <= 1


def test_terms_tell_the_homes_of_a_slot_apart() -> None:
    """Also two processes of one hub: the slot was another's in between."""
    first = terms([0] * 4, [NOBODY] * 4, [0, 1, 0, 1], 1)
    second = terms(first, [0, 1, 0, 1], [0, 0, 0, 0], 3)
    third = terms(second, [0, 0, 0, 0], [1, 1, 1, 1], 4)
    assert (first, second, third) == ([1, 1, 1, 1], [1, 3, 1, 3], [4, 4, 4, 4])
    assert terms(third, [1] * 4, [1] * 4, 5) == third
