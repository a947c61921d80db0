"""Whatever a policy gives back, its caller gets valid decisions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from actorrpc.balancing.decide import MOST, Decisions, PolicyFailed, decide
from actorrpc.balancing.view import History, HubLoad, Move, Stay, View
from actorrpc.broker.moves.journal import Journal


class Number:
    """What numpy has, for one."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __index__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return self._value


class Rude(Exception):
    def __str__(self) -> str:
        raise SystemExit


def decided(*decisions: Any, under_way: tuple[str, ...] = (), **loads: Any) -> Decisions:
    class Policy:
        def plan(self, view: View) -> Any:
            return decisions

    hubs = {hub: HubLoad(hub, 0.5, 3) for hub in (0, 1)} | {2: HubLoad(2, 0.5, 3, **loads)}
    return decide(Policy(), View(1.0, hubs, History()), under_way)


def test_sound_decisions_are_taken() -> None:
    found = decided(Move("0-1-1", 0, 1, "because", 0.25), Stay("", "all is well"))
    assert found == Decisions([Move("0-1-1", 0, 1, "because", 0.25)], [Stay("", "all is well")])


@pytest.mark.parametrize(
    ("decision", "fault"),
    [
        ("gibberish", "neither a Move nor a Stay"),
        (None, "neither a Move nor a Stay"),
        (Move("0-1-1", 0, 7, ""), "there is no hub 7"),
        (Move("0-1-1", -1, 1, ""), "there is no hub -1"),
        (Move("0-1-1", 1, 1, ""), "source and target are one hub"),
        (Move(12, 0, 1, ""), "must be strings"),
        (Move("0-1-1", 0, 1, None), "must be strings"),
        (Move("0-1-1", [0], 1, ""), "whole numbers"),
        (Move("0-1-1", 0, 0.5, ""), "whole numbers"),
        (Move("0-1-1", 0, 1, "", "heavy"), "load a number"),
        (Move("0-1-9", 0, 1, ""), "being moved already"),
        (Stay(3, ""), "must be strings"),
    ],
)
def test_nonsense_is_left_out(decision: Any, fault: str) -> None:
    found = decided(Stay("first", ""), decision, Stay("last", ""), under_way=("0-1-9",))
    assert [stay.what for stay in found.stays] == ["first", "last"]
    assert found.moves == []
    ((what, example),) = found.faults.items()
    assert fault in what
    assert example == repr(decision)


@pytest.mark.parametrize("load", ({"room": 0}, {"serving": False}, {"stale": 2.5}))
def test_nothing_goes_to_a_hub_that_is_full_silent_or_about_to_go(load: dict[str, Any]) -> None:
    assert decided(Move("0-1-1", 0, 2, ""), **load).moves == []
    assert decided(Move("0-1-1", 0, 2, "")).moves != []


def test_a_connection_moves_once() -> None:
    found = decided(Move("0-1-1", 0, 1, "one"), Move("0-1-1", 0, 2, "two"))
    assert [move.reason for move in found.moves] == ["one"]
    assert len(found.faults) == 1


def test_what_is_taken_can_be_shown() -> None:
    found = decided(
        Move("0-1-1", Number(0), Number(1), "a \ud800", Number(0.25)),  # type: ignore[arg-type]
        Move("0-1-2", 0, 1, "x" * 1_000_000, float("nan")),
        Stay("y" * 1_000_000, "z" * 1_000_000),
    )
    journal = Journal()
    for move in found.moves:
        journal.begun(move, "policy")
    for stay in found.stays:
        journal.stayed(stay, "policy")
    text = json.dumps(journal.rows(10), allow_nan=False)
    assert len(text.encode()) < 4000
    assert [(row["source"], row["load"]) for row in json.loads(text)][:2] == [(0, 0.25), (0, 0.0)]


def test_no_more_is_looked_at_than_so_many() -> None:
    class Endless:
        def plan(self, view: View) -> Iterator[Stay]:
            while True:
                yield Stay("", "more")

    found = decide(Endless(), View(1.0, {}, History()), ())
    assert len(found.stays) == MOST
    assert list(found.faults) == [f"decides more than {MOST} things at once; the rest is left out"]


@pytest.mark.parametrize("error", (ValueError("x"), SystemExit(3), KeyboardInterrupt(), Rude()))
def test_whatever_is_raised_is_the_policys_failure(error: BaseException) -> None:
    class Raises:
        def plan(self, view: View) -> Iterator[Stay]:
            yield Stay("", "before")
            raise error

    with pytest.raises(PolicyFailed, match=f"raised {type(error).__name__}"):
        decide(Raises(), View(1.0, {}, History()), ())
