"""Keyed actors on real processes, as their clients see them: the short form of ``python -m
tests.chaos.histories``."""

from __future__ import annotations

import pytest

from tests.chaos.histories.clients import Failure
from tests.chaos.histories.recovery import recoveries
from tests.chaos.histories.saboteur import CALM, VIOLENT, Trouble
from tests.chaos.histories.trial import Plan, judge, trial

#: Seconds, on a machine that has other things to do: long before a silent hub would be called dead.
SOON = 4.0

PLANS = {
    "calm": Plan(6.0, kinds=CALM),
    "violent": Plan(8.0, kinds=VIOLENT),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_one_actor_at_a_time_in_the_order_of_its_calls(
    plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = trial(plan)
    with capsys.disabled():
        print(f"\n{outcome.figures()}")
    assert outcome.wrong == []
    assert outcome.operations > 100
    assert outcome.moves_seen > 0
    assert outcome.troubles
    if plan.kinds == CALM:
        assert outcome.failed == {}


def test_a_key_whose_hub_is_killed_is_soon_active_elsewhere() -> None:
    found = recoveries(4, seed=1)
    assert [len(seconds) for seconds in found.values()] == [2, 2]
    assert max(map(max, found.values())) < SOON


# ---- its judgement


def failure(status: str = "UNAVAILABLE", began: float = 4.0, ended: float = 5.0, why: str = "") -> Failure:
    return Failure("Take", "key", began, ended, status, why)


@pytest.mark.parametrize(
    ("failed", "excused"),
    [
        (failure(), True),
        (failure("DEADLINE_EXCEEDED"), True),
        (failure(began=0.0, ended=99.0), True),
        (failure("INTERNAL"), False),
        (failure(began=1.0, ended=1.9), False),
        (failure(began=6.1, ended=7.0), False),
    ],
)
def test_only_what_a_trouble_explains_is_excused(failed: Failure, excused: bool) -> None:
    assert judge([failed], [Trouble("kill a hub", 2.0, 6.0)]) == ([] if excused else [failed])
    assert judge([failed], [Trouble("reload", 0.0, 99.0)]) == [failed]
    assert judge([failed], []) == [failed]


def test_nobody_is_told_that_a_hub_has_ended_that_was_stopped() -> None:
    ended, silent = failure(why="the hub has ended where it was"), failure(why="it does not answer")
    assert judge([ended, silent], [Trouble("stop a hub", 2.0, 6.0)]) == [ended]
    assert judge([ended, silent], [Trouble("kill a hub", 2.0, 6.0)]) == []
