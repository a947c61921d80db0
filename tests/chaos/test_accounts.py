"""What the storm says of keyed actors: each rule of its judgement broken once, and what a death explains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.apps.peers import KEYS, answered, continued
from tests.apps.peers_pb2 import Known, Turn
from tests.apps.turn_book import Event, Record
from tests.chaos.accounts import LATEST, Turns, explains
from tests.chaos.deaths import Death

ONE, OTHER = 0xA, 0xB
HERE, THERE = 11, 12
CALLER = 7

#: The hub died at 10.0 that had b; c was on its way, and d had just left it.
DEATH = Death(
    hub=0,
    pid=HERE,
    at=10.0,
    there={"peers.Peer/b"},
    moving={"peers.Peer/c"},
    moved={"peers.Peer/d"},
)


def record(event: Event, turn: int, **fields: Any) -> Record:
    plain = Record(1.0, CALLER, ONE, turn, turn, turn, HERE, "a", event)
    return plain._replace(**fields)


def one_turn(turn: int, event: Event = Event.CALL, **fields: Any) -> list[Record]:
    return [record(event, turn, **fields), record(Event.END, turn, **fields)]


def made(key: str = "a", activation: int = ONE, **fields: Any) -> Record:
    return record(Event.ACTIVATE, 0, key=key, activation=activation, **fields)


def judged(*records: Record, deaths: tuple[Death, ...] = ()) -> list[str]:
    """Of actors of which all others were made once."""
    others = [made(key) for key in KEYS if key not in {each.key for each in records}]
    turns = Turns(deaths)
    turns.judge([*others, *records])
    return turns.faults


#: What nothing is wrong with: a turn here, two there, one beside another.
WELL = [
    made(),
    *one_turn(1),
    *one_turn(2, pid=THERE),
    record(Event.CALL, 3),
    record(Event.BESIDE, 4),
    record(Event.END, 3),
    *one_turn(5, Event.TELL, number=1),
    *one_turn(6, Event.TELL, number=2, pid=THERE),
]


def test_nothing_is_wrong_with_what_is_well() -> None:
    assert judged(*WELL) == []


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        (one_turn(8), "comes after turn 6"),
        (one_turn(6, call=60), "comes after turn 6"),
        (one_turn(7, call=2), "a call that has run before"),
        ([record(Event.CALL, 7), record(Event.CALL, 8), record(Event.END, 8)], "runs within"),
        ([record(Event.CALL, 7)], "has not ended"),
        ([record(Event.END, 7)], "ends, and None was there"),
        (one_turn(7, activation=OTHER), "none of the activation that is there"),
        (one_turn(7, Event.TELL, number=4), "is told after number 2"),
        (one_turn(7, Event.TELL, number=2), "is told after number 2"),
        (one_turn(7, Event.TELL, number=2, caller=8), "is told after number 0"),
        ([made(activation=OTHER)], "made anew 1 times, where 0 to 0 was due"),
        ([record(Event.CALL, 7), made(activation=OTHER)], "goes on"),
    ],
)
def test_each_rule_is_kept(more: list[Record], wrong: str) -> None:
    found = judged(*WELL, *more)
    assert any(wrong in each for each in found), found


# ---- what a death explains


def after_the_death(key: str, **fields: Any) -> list[Record]:
    """An actor that was made anew, and told number 5 where 3 was due."""
    late = {"key": key, "at": 10.1, "pid": THERE, "activation": OTHER, **fields}
    return [
        made(key),
        *one_turn(1, Event.TELL, number=1, key=key),
        *one_turn(2, Event.TELL, number=2, key=key),
        made(key, OTHER),
        *one_turn(1, Event.TELL, **{"number": 5, "call": 5, **late}),
    ]


@pytest.mark.parametrize(
    ("key", "times"), [("b", "1 to 1"), ("c", "0 to 1"), ("d", "0 to 0"), ("e", "0 to 0")]
)
def test_an_actor_is_made_anew_where_its_hub_died(key: str, times: str) -> None:
    b = [] if key == "b" else [made("b"), made("b", OTHER)]
    found = judged(*b, *after_the_death(key), deaths=(DEATH,))
    assert found == (
        [] if key in "bc" else [f"peers.Peer/{key} was made anew 1 times, where {times} was due"]
    )


def test_an_actor_that_was_there_has_died() -> None:
    assert judged(deaths=(DEATH,)) == ["peers.Peer/b was made anew 0 times, where 1 to 1 was due"]


@pytest.mark.parametrize(
    ("key", "at", "excused"),
    [("c", 10.1, True), ("d", 10.1, True), ("d", 9.9, False), ("e", 10.1, False)],
)
def test_what_was_told_is_lost_where_a_hub_died_that_the_actor_had_left(
    key: str, at: float, excused: bool
) -> None:
    told = [
        made(key),
        *one_turn(1, Event.TELL, number=1, key=key),
        *one_turn(2, Event.TELL, number=3, key=key, at=at, pid=THERE),
    ]
    found = judged(made("b"), made("b", OTHER), *told, deaths=(DEATH,))
    assert (found == []) == excused


def test_a_turn_ends_with_its_process() -> None:
    begun = [made("b"), record(Event.CALL, 1, key="b")]
    assert judged(*begun, made("b", OTHER, pid=THERE), deaths=(DEATH,)) == []
    alive = replace(DEATH, pid=99)
    (wrong,) = judged(*begun, made("b", OTHER, pid=THERE), deaths=(alive,))
    assert "goes on" in wrong


def failure(*actors: str, began: float = 9.0, ended: float = 11.0) -> dict[str, Any]:
    return {"actors": [*actors], "began": began, "ended": ended}


@pytest.mark.parametrize(
    ("failed", "explained"),
    [
        (failure("b"), True),
        (failure("a", "e", "b"), True),
        (failure("c"), True),
        (failure("d"), True),
        (failure("guest 1"), True),
        (failure("a", "e"), False),
        (failure("b", ended=9.9), False),
        (failure("b", began=10.1 + LATEST), False),
    ],
)
def test_a_call_fails_whose_actor_was_there(failed: dict[str, Any], explained: bool) -> None:
    assert explains(DEATH, failed) == explained


# ---- what callers compare


def known() -> Known:
    return Known(called=5, answered=4, activation=ONE)


def turn(previous: int, activation: int = ONE, number: int = 5) -> Turn:
    return Turn(activation=activation, number=number, previous=previous)


@pytest.mark.parametrize(
    ("reply", "sure", "well"),
    [
        (turn(4), True, True),
        (turn(3), True, False),
        (turn(0, OTHER), True, True),
        (turn(1, OTHER), True, False),
        (turn(4, number=6), True, False),
        (turn(4), False, True),
        (turn(3), False, False),
        (turn(5), False, False),
        (turn(2, OTHER), False, True),
    ],
)
def test_an_answer_tells_what_has_run_before(reply: Turn, sure: bool, well: bool) -> None:
    assert (answered(known(), 5, reply, sure=sure) == "") == well


def test_later_calls_may_have_run_of_which_nobody_knows() -> None:
    unsure = Known(called=6, answered=4, activation=ONE, unsure=True)
    assert answered(unsure, 6, turn(5, number=6), sure=False) == ""
    assert unsure.answered == 6
    assert not unsure.unsure


def test_a_stream_goes_on_where_it_was() -> None:
    assert continued(turn(0, number=3), 2, ONE) == ""
    assert continued(turn(0, number=3), 2, 0) == ""
    assert "4 was due" in continued(turn(0, number=3), 3, ONE)
    assert "goes on in b" in continued(turn(0, OTHER, number=3), 2, ONE)
