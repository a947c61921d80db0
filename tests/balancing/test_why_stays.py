"""What `steady` says of a connection that can move, and stays: for `actorrpc why`."""

from __future__ import annotations

import pytest

from actorrpc.balancing.policies.simple import Nothing
from actorrpc.balancing.policies.steady import Steady
from actorrpc.balancing.view import Explains, History, HubLoad, Move
from tests.balancing.views import connection, hub, plan, view


def said(
    policy: Steady, hubs: list[HubLoad], at: int, load: float, id: str = "x", history: History | None = None
) -> str:
    """Of a connection with that load, after a plan."""
    plan(policy, *hubs)
    return policy.why_stays(view(*hubs, history=history or History()), at, connection(id, load))


def test_only_some_policies_explain() -> None:
    assert isinstance(Steady(), Explains)
    assert not isinstance(Nothing(), Explains)


def test_before_the_first_plan() -> None:
    assert "no other hub" in Steady().why_stays(view(hub(0, 0.5), hub(1, 0.1)), 0, connection("x", 0.1))


def test_its_hub_has_not_too_much() -> None:
    text = said(Steady(), [hub(0, 0.3), hub(1, 0.3)], 0, 0.1)
    assert (
        text
        == "hub 0 is at 0.30 of a core, 0.30 on average: it gives nothing away until it is 0.02 above that"
    )
    assert said(Steady(), [hub(0, 0.5, 0.2), hub(1, 0.1)], 1, 0.05).startswith("hub 1 is at 0.10 of a core")


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (0.7, "it would fill any other hub as well"),
        (0.5, "more than half of what hub 0 has more than hub 1 (0.700)"),
        (0.0001, "too little for its move to pay for itself"),
        (0.1, "it may move to hub 1, after those that fit better"),
    ],
)
def test_its_hub_has_too_much(load: float, words: str) -> None:
    assert words in said(Steady(), [hub(0, 0.4, 0.3, 0.1), hub(1, 0.1)], 0, load)


def test_nobody_can_take_it() -> None:
    full = HubLoad(1, 0.1, 1, room=0)
    assert "can take anything" in said(Steady(), [hub(0, 0.4, 0.3), full], 0, 0.1)


def test_it_has_just_moved_or_came_from_there() -> None:
    hubs = [hub(0, 0.4, 0.3, 0.1), hub(1, 0.1)]
    policy = Steady()
    plan(policy, *hubs)
    for ago, words in (
        (10.0, "stays where it is for 60 s"),
        (100.0, "it came from hub 1 less than 300 s ago"),
    ):
        history = History()
        history.begun(Move("x", 1, 0, ""), 1000.0 - ago)
        history.ended("x", 1000.0 - ago)
        assert words in policy.why_stays(view(*hubs, now=1000.0, history=history), 0, connection("x", 0.1))


def test_to_explain_changes_nothing() -> None:
    hubs = [hub(0, 0.4, 0.3, 0.1), hub(1, 0.1)]
    asked, not_asked = Steady(), Steady()
    for policy in (asked, not_asked):
        plan(policy, *hubs)
    for _ in range(3):
        asked.why_stays(view(*hubs), 0, connection("x", 0.1))
    assert plan(asked, *hubs, now=200) == plan(not_asked, *hubs, now=200)
