"""Homes of topics: tables, then the rules for any history."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.broker.sharing.topic_homes import SLOTS, TopicHomes, assign, terms

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


# ---- slots that leave a living hub


@pytest.mark.parametrize(
    ("homes", "living", "homeless", "wanted"),
    [
        ([0, 1, 0, 1], [0, 1], [0], [1, 1, 1, 1]),
        ([0, 1, 0, 1], [0, 1, 2], [0], [2, 1, 2, 1]),
        ([0, 1, 0, 1], [0, 1, 2, 3], [0, 1], [2, 3, 2, 3]),
        ([0, 1, 0, 1], [0, 1], [0, 1], [0, 1, 0, 1]),  # there is nobody else
        ([0, 1, 2, 1], [0, 1], [0, 1], [0, 1, 0, 1]),
        ([NOBODY] * 4, [0, 1], [0], [1, 1, 1, 1]),
    ],
)
def test_homeless_hubs_give_their_slots_to_others(
    homes: list[int], living: list[int], homeless: list[int], wanted: list[int]
) -> None:
    assert assign(homes, living, homeless) == wanted


@pytest.mark.parametrize(
    ("homes", "living", "wanted"),
    [
        ([0, 0, 0, 0], [0, 1], [0, 0, 1, 1]),
        ([0, 0, 0, 1], [0, 1], [0, 0, 1, 1]),
        ([0, 0, 1], [0, 1], [0, 0, 1]),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2], [0, 0, 2, 1, 1, 2]),
    ],
)
def test_a_newcomer_gets_its_share(homes: list[int], living: list[int], wanted: list[int]) -> None:
    assert assign(homes, living, share=True) == wanted
    assert assign(homes, living) == homes


@pytest.mark.parametrize(("old", "new"), [(8, 8), (2, 7), (7, 2), (1, 1)])
def test_slots_of_a_whole_generation_go_from_few_to_few(old: int, new: int) -> None:
    """Each pair is a handover of its own, and a message to every hub: not all to all."""
    before = assign([NOBODY] * SLOTS, range(old))
    after = assign(before, range(old + new), homeless=range(old))
    counts = Counter(after).values()
    assert len(counts) == new and max(counts) - min(counts) <= 1
    assert len({*zip(before, after, strict=True)}) < old + new


@given(
    st.lists(st.integers(-1, 7), min_size=1, max_size=60),
    hubs,
    hubs,
    st.frozensets(st.integers(0, 59)),
    st.booleans(),
)
def test_any_assignment(
    homes: list[int], living: frozenset[int], homeless: frozenset[int], staying: frozenset[int], share: bool
) -> None:
    after = assign(homes, living, homeless, staying, share)
    able = living - homeless or living
    if not living:
        assert after == homes
        return
    pairs = list(enumerate(zip(homes, after, strict=True)))
    left = [slot for slot, (was, now) in pairs if was != now]
    assert all(now in able or slot in staying for slot, (_, now) in pairs)
    assert not [slot for slot in left if slot in staying and homes[slot] in living]
    held, had = Counter(after), Counter(homes)
    given_away = [slot for slot in left if homes[slot] in able]
    if not share:
        assert given_away == []
    elif not staying:
        counts = sorted((held[hub] for hub in able), reverse=True)
        assert counts[0] - counts[-1] <= 1
        # As few moves as that takes: the hubs that had the most are those with one more.
        most = sorted((had[hub] for hub in able), reverse=True)
        assert len(given_away) == sum(max(was - now, 0) for was, now in zip(most, counts, strict=True))


@given(st.data())
def test_any_life_of_homes(data: st.DataObject) -> None:
    """A slot leaves a living hub only with its origin named, never while it is handed over to another living
    one, and what is settled is not needed any more."""
    table = TopicHomes(8)
    for _ in range(data.draw(st.integers(1, 12))):
        living, homeless = data.draw(hubs.filter(bool)), data.draw(hubs)
        before, terms_before, origins = list(table.homes), list(table.terms), dict(table.origins)
        table.assign(living, homeless, data.draw(st.booleans()))
        for slot, (was, now) in enumerate(zip(before, table.homes, strict=True)):
            assert (table.terms[slot] == terms_before[slot]) == (was == now)
            if was == now:
                assert table.origins.get(slot) == (origins.get(slot) if origins.get(slot) in living else None)
            elif was in living:
                assert table.origins[slot] == was
                assert origins.get(slot) not in living
            else:  # its home has died: whoever was handing it over still may
                assert table.origins.get(slot) == (origins.get(slot) if origins.get(slot) in living else None)
        told = {slot: each.hub for each in table.message().origins for slot in each.slots}
        assert told == table.origins
        for slot in data.draw(st.lists(st.integers(0, 7), max_size=3)):
            table.settled(table.homes[slot], table.terms[slot])
            assert slot not in table.origins
        for hub in range(8):
            assert table.needs(hub) == (hub in table.homes or hub in table.origins.values())


def test_what_has_settled_is_told_once_and_only_by_the_home() -> None:
    table = TopicHomes(4)
    table.assign([0, 1])
    table.assign([0, 1], homeless=[0])
    assert table.origins == {0: 0, 2: 0}
    assert table.needs(0) and not table.movable(0)
    assert not table.settled(0, 2)
    assert not table.settled(1, 1)
    assert table.settled(1, 2)
    assert not table.settled(1, 2)
    assert not table.needs(0)
