"""Everything moves all the time and nothing is lost: the short form of ``python -m tests.chaos``."""

from __future__ import annotations

import pytest

from tests.chaos.experiment import Outcome, experiment
from tests.chaos.storm import Plan

#: The moves of the short form, and the seconds after which no more are asked for. Two cores with no other
#: work make them in a minute; the test's output says how many there were.
MOVES, SECONDS = 50_000, 90.0
#: Fewer, on whatever machine, mean that something holds moves up.
LEAST = 5_000

#: What share of deadlines must fire within 20 ms. All do where there are cores to spare; but the storm asks
#: for as many moves as the machine can make, and others may use the machine, too, so that a hub may have to
#: wait longer than that for a core. Nine in ten is what was seen at worst. When each move added the time of
#: its way to a deadline it was one in two, on a machine without other work.
WITHIN_20_MS = 0.8


@pytest.fixture(scope="module", params=[(2, MOVES, SECONDS), (3, 5_000, 20.0)], ids=["2 hubs", "3 hubs"])
def outcome(request: pytest.FixtureRequest) -> Outcome:
    hubs, moves, seconds = request.param
    outcome = experiment(Plan(moves, hubs=hubs, limit=seconds))
    print(outcome.storm.figures())
    return outcome


def test_nothing_is_lost_doubled_reordered_or_failed(outcome):
    storm = outcome.storm
    assert storm.faults == []
    assert min(storm.numbers.values()) > 0, "every kind of conversation took place"


def test_every_move_is_made(outcome):
    storm = outcome.storm
    assert storm.moves.aborted == {}
    assert storm.moves.count == storm.plan.moves or storm.moves.count > LEAST * storm.plan.moves / MOVES


def test_deadlines_fire_at_their_time(outcome):
    for method in ("Silent", "Blocked"):
        assert outcome.storm.within_20_ms[method] >= WITHIN_20_MS, outcome.storm.late


def test_nothing_leaks(outcome):
    assert outcome.leaked == []


def test_nothing_is_logged(outcome):
    assert outcome.log == []
