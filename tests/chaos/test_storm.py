"""Everything moves all the time and nothing is lost: the short form of ``python -m tests.chaos``."""

from __future__ import annotations

import pytest

from tests.chaos.experiment import Outcome, experiment
from tests.chaos.storm import Plan

#: What the short form takes, in seconds, if the machine makes fewer than its 50,000 moves in that time. The
#: test's output says how many there were.
LIMIT = 45.0
#: Fewer moves in a second, on whatever machine, mean that something holds them up.
SLOWEST = 20

#: Some of what is counted, of each kind of conversation.
EVERY = {
    "counted", "watched", "uploaded", "talked", "recited", "cancelled", "published", "heard", "read slowly",
    "poured", "heaped", "barred", "clients over TLS", "forked: process", "forked: fork", "forked: run",
    "forked: program", "offloaded: value", "offloaded: exit", "offloaded: rpc", "actors asked",
    "recited by actors", "turns of actors heard", "guests visited", "guests visited by actors",
    "calls cancelled",
}  # fmt: skip

PLANS = {
    "50,000 moves": Plan(50_000, limit=LIMIT),
    "3 hubs": Plan(4_000, hubs=3, limit=15.0, intercepted=False),
    "hubs that die": Plan(
        50_000, hubs=3, members=12, streamers=1, troublemakers=1, deaths_every=5.0, deaths=2, limit=20.0
    ),
    "reloads": Plan(50_000, reloads_every=5.0, reloads=3, limit=20.0),
    "calm": Plan(1_500, rate=150, members=6, streamers=0, troublemakers=0, keyed=2),
}


@pytest.fixture(scope="module", params=PLANS.values(), ids=PLANS.keys())
def outcome(request: pytest.FixtureRequest) -> Outcome:
    outcome = experiment(request.param)
    print(outcome.storm.figures())
    return outcome


def test_nothing_is_lost_doubled_reordered_or_failed(outcome):
    storm = outcome.storm
    assert storm.faults == []
    assert min(storm.numbers.values()) > 0
    if storm.plan == PLANS["50,000 moves"]:
        assert storm.numbers.keys() >= EVERY, "every kind of conversation took place"


def test_actors_call_and_tell_each_other_and_move(outcome):
    turns = outcome.storm.turns
    assert min(turns[event] for event in ("call", "tell", "beside")) > 0
    assert turns["turns in another process than the one before"] > 0


def test_every_move_is_made(outcome):
    storm = outcome.storm
    assert storm.moves.aborted == {}
    assert storm.moves.count == storm.plan.moves or storm.moves.rate > SLOWEST


def test_deadlines_fire(outcome):
    """None early, which would be a fault; how late they were, ``python -m tests.chaos`` tells."""
    assert min(outcome.storm.late[method]["count"] for method in ("Silent", "Blocked")) > 0


def test_nothing_leaks(outcome):
    assert outcome.leaked == []


def test_nothing_is_logged(outcome):
    assert outcome.log == []


def test_hubs_die_and_their_clients_come_back(outcome):
    storm = outcome.storm
    if storm.plan.deaths_every:
        assert len(storm.deaths.all) == len(storm.deaths.recovered) > 0
        assert len(storm.deaths.heard) > 0, "they had clients"
        assert storm.turns["actors that died with their hub"] > 0


def test_reloads_move_everything(outcome):
    storm = outcome.storm
    if storm.plan.reloads_every:
        assert 0 < len(storm.reloads.all) <= storm.plan.reloads
        assert storm.reloads.moved > 0
        generations = [reload.generation for reload in storm.reloads.all]
        assert generations == list(range(2, 2 + len(generations)))
