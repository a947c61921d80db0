"""The judgement of histories: against every order that there is where these are few, and at each rule."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import combinations, count, groupby, pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.chaos.histories.history import Operation, check

A, B, C = b"\x0a", b"\x0b", b"\x0c"


def call(began: float, ended: float, activation: bytes, number: int) -> Operation:
    return Operation("key", began, ended, activation, number)


def failed(began: float, ended: float) -> Operation:
    return Operation("key", began, ended, failed="UNAVAILABLE")


#: What nothing is wrong with.
TWO_OF_A = [call(0, 1, A, 1), call(2, 3, A, 2)]


# ---- each rule


@pytest.mark.parametrize(
    ("history", "wrong"),
    [
        ([call(0, 1, A, 1), call(0, 1, A, 1)], "twice"),
        ([call(0, 1, A, 2), call(2, 3, A, 1)], "had ended before"),
        ([call(0, 1, A, 2), call(0.5, 9, A, 3), call(2, 3, A, 1)], "had ended before"),
        ([call(0, 1, A, 1), call(2, 3, B, 1), call(4, 5, A, 2)], "in its midst"),
        ([call(0, 1, A, 1), call(2, 3, B, 1), call(4, 5, A, 2), call(6, 7, B, 2)], "later still"),
        ([*TWO_OF_A, call(4, 5, B, 1), call(6, 7, C, 1), call(8, 9, B, 2)], "in its midst"),
        ([call(0, 1, A, 1), call(2, 3, A, 3)], "2 calls that were answered and 0 that failed"),
    ],
)
def test_each_rule_is_kept(history: list[Operation], wrong: str) -> None:
    (found,) = check(history)
    assert found.startswith("key: ")
    assert wrong in found


@pytest.mark.parametrize(
    "history",
    [
        [],
        [*TWO_OF_A, call(4, 5, B, 1)],
        # At once, so in any order.
        [call(0, 3, A, 2), call(1, 2, A, 1)],
        [call(0, 9, B, 1), call(1, 2, A, 1), call(3, 4, A, 2)],
        [call(0, 9, A, 1), call(1, 2, B, 1), call(3, 4, C, 1)],
        # A reply that was late says nothing of when its turn ran.
        [call(0, 1, A, 1), call(0, 9, A, 2), call(2, 3, B, 1), call(4, 5, B, 2)],
        # A call that failed may have run.
        [call(0, 1, A, 1), failed(1, 2), call(2, 3, A, 3)],
        [failed(1, 2), call(2, 3, A, 1)],
        # Other keys have actors of their own.
        [call(0, 1, A, 1), replace(call(2, 3, B, 1), key="other"), call(4, 5, A, 2)],
    ],
)
def test_what_may_have_been_is_not_wrong(history: list[Operation]) -> None:
    assert check(history) == []


# ---- any history


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Few calls, at few times, so that much goes on at once."""
    made = []
    for _ in range(draw(st.integers(0, 6))):
        began = draw(st.integers(0, 8))
        ended = began + draw(st.integers(1, 5))
        made.append(call(began, ended, draw(st.sampled_from([A, B, C])), draw(st.integers(1, 3))))
    return made + [failed(0, 1)] * draw(st.sampled_from([0, 20]))


def may_have_been(history: list[Operation]) -> bool:
    """Whether there is an order in which one actor after the other has answered them."""
    answered = [each for each in history if not each.failed]
    ran = sum(max(each.number for each in answered if each.activation == name) for name in _names(answered))
    if ran - len(answered) > len(history) - len(answered):
        return False
    return any(map(_is_served, permutations(answered)))


def _is_served(order: tuple[Operation, ...]) -> bool:
    in_time = all(before.began <= after.ended for before, after in combinations(order, 2))
    counted = all(
        before.number < after.number
        for before, after in pairwise(order)
        if before.activation == after.activation
    )
    served = [name for name, _ in groupby(each.activation for each in order)]
    return in_time and counted and len(served) == len(set(served))


def _names(answered: list[Operation]) -> set[bytes]:
    return {each.activation for each in answered}


@settings(max_examples=1000)
@given(histories())
def test_a_history_is_wrong_if_no_order_explains_it(history: list[Operation]) -> None:
    assert (check(history) == []) == may_have_been(history)


# ---- long ones, made as actors make them


def served(calls: int, chance: random.Random) -> list[Operation]:
    """What clients of actors see that end now and then."""
    made, now = [], 0.0
    activations = map(str.encode, map(str, count()))
    activation, number = next(activations), 0
    for _ in range(calls):
        now += chance.random()
        if chance.random() < 0.01:
            activation, number = next(activations), 0
        number += 1
        began, ended = now - chance.expovariate(0.2), now + chance.expovariate(0.2)
        if chance.random() < 0.01:
            made.append(failed(began, ended))
        else:
            made.append(call(began, ended, activation, number))
    chance.shuffle(made)
    return made


@settings(max_examples=30)
@given(st.integers(0, 300), st.integers(0, 1 << 32))
def test_what_an_actor_has_served_is_not_wrong(calls: int, seed: int) -> None:
    assert check(served(calls, random.Random(seed))) == []


def test_a_reply_of_an_actor_that_had_gone_is_found_among_many() -> None:
    chance = random.Random(1)
    history = served(5_000, chance)
    last = max((each for each in history if not each.failed), key=lambda each: each.ended)
    first = min((each for each in history if not each.failed), key=lambda each: each.ended)
    ghost = replace(first, began=last.ended + 1, ended=last.ended + 2, number=10_000)
    assert check([*history, ghost]) != []


def test_it_is_quick_enough_for_long_storms() -> None:
    history = served(100_000, random.Random(2))
    began = time.process_time()
    assert check(history) == []
    assert time.process_time() - began < 10
