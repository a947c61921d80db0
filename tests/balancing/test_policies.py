"""All policies: their names, what none of them may do, and what the plain ones do."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actorrpc
from actorrpc.balancing.policies import DEFAULT, NAMES, make_policy
from actorrpc.balancing.policies.simple import Count, Greedy, Steal
from actorrpc.balancing.view import ConnectionLoad, History, HubLoad, Move, Policy, View
from actorrpc.errors import ConfigError
from tests.balancing.views import connection, hub, moves, plan

each_policy = pytest.mark.parametrize("name", NAMES)


class Own:
    """A user's policy."""

    def plan(self, view: View) -> list[Move]:
        return []


class Unusable:
    pass


def test_names() -> None:
    assert DEFAULT == "steady"
    assert set(NAMES) == {"none", "count", "greedy", "steady", "steal"}
    assert isinstance(make_policy(f"{__name__}:Own"), Own)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("bogus", "no policy 'bogus': choose none, count,"),
        ("bogus:", "give it as package.module:attribute"),
        (f"{__name__}:Unusable", "has no plan"),
        (f"{__name__}:Missing", "does not import: AttributeError"),
        ("no.such.module:Policy", "does not import: ModuleNotFoundError"),
    ],
)
def test_what_is_no_policy(name: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        make_policy(name)


loads = st.floats(0.0, 0.3)


@st.composite
def connections(draw: st.DrawFn, hub: int) -> list[ConnectionLoad]:
    return [
        ConnectionLoad(
            f"{hub}-{at}",
            draw(loads),
            draw(loads),
            draw(st.integers(0, 10**6)),
            draw(st.floats(0, 5)),
            draw(st.floats(0, 1000)),
            draw(st.sampled_from(["", "", "", "a handler runs"])),
            draw(st.sampled_from(["", "room/1"])),
        )
        for at in range(draw(st.integers(0, 6)))
    ]


@st.composite
def hubs(draw: st.DrawFn) -> list[HubLoad]:
    found = []
    for number in range(draw(st.integers(1, 5))):
        named = draw(connections(number))
        found.append(
            HubLoad(
                number,
                draw(st.floats(0, 1)),
                len(named) + draw(st.integers(0, 20)),
                named[:4],
                named[3:],
                room=draw(st.sampled_from([None, None, 0, 1, 2])),
                serving=draw(st.sampled_from([True, True, True, False])),
                stale=draw(st.sampled_from([0.1, 0.1, 2.0, 2.1])),
                groups=draw(st.sampled_from([{}, {"room/1": 5.0}])),
            )
        )
    return found


@each_policy
@settings(max_examples=60, deadline=None)
@given(found=hubs(), in_flight=st.sets(st.sampled_from(["0-0", "1-0", "2-1"])))
def test_what_no_policy_does(name: str, found: list[HubLoad], in_flight: set[str]) -> None:
    """Move what is pinned, under way or unknown, or to a hub that is full, silent or about to go."""
    history = History()
    for id in sorted(in_flight):
        history.begun(Move(id, 0, 1, "", 0.0), 99.0)
    decided = plan(make_policy(name), *found, history=history)
    by_number = {each.hub: each for each in found}
    coming: dict[int, int] = {}
    seen = set()
    for move in decided:
        if not isinstance(move, Move):
            continue
        source, target = by_number[move.source], by_number[move.target]
        named = {each.id: each for each in (*source.heaviest, *source.others)}
        assert move.connection in named and not named[move.connection].why
        assert move.connection not in in_flight and move.connection not in seen
        assert target is not source and target.serving and target.stale <= 2
        assert source.serving and source.stale <= 2
        coming[move.target] = coming.get(move.target, 0) + 1
        assert target.room is None or coming[move.target] <= target.room
        assert any(figure.isdigit() for figure in move.reason)
        seen.add(move.connection)


@each_policy
@settings(max_examples=30, deadline=None)
@given(found=hubs(), random=st.randoms(use_true_random=False))
def test_the_order_of_reports_decides_nothing(name: str, found: list[HubLoad], random: object) -> None:
    other = list(found)
    random.shuffle(other)  # type: ignore[attr-defined]
    assert plan(make_policy(name), *found) == plan(make_policy(name), *other)


@each_policy
@given(load=st.floats(0.0, 0.1), count=st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_equal_hubs_stay_as_they_are(name: str, load: float, count: int) -> None:
    policy = make_policy(name)
    for step in range(20):
        found = [hub(number, *[load] * count) for number in range(4)]
        assert moves(plan(policy, *found, now=100 + step * 0.5)) == []


@each_policy
def test_nothing_and_one_hub(name: str) -> None:
    assert plan(make_policy(name)) == []
    assert moves(plan(make_policy(name), hub(0, 0.5, 0.5))) == []


def test_count_makes_numbers_equal() -> None:
    assert moves(plan(Count(), hub(0, 0.1, 0.1, 0.1, 0.1), hub(1))) == [("0-0", 0, 1), ("0-1", 0, 1)]
    assert moves(plan(Count(), hub(0, 0.1, 0.1), hub(1, 0.9))) == []


def test_count_counts_what_is_under_way() -> None:
    history = History()
    for id in ("0-0", "0-1"):
        history.begun(Move(id, 0, 1, ""), 99.0)
    assert moves(plan(Count(), hub(0, 0.1, 0.1, 0.1, 0.1), hub(1), history=history)) == []


def test_greedy_takes_what_closes_the_gap_best() -> None:
    assert moves(plan(Greedy(), hub(0, 0.5, 0.3, 0.1), hub(1, 0.2))) == [("0-1", 0, 1)]


def test_an_idle_hub_steals() -> None:
    assert moves(plan(Steal(), hub(0, 0.4, 0.3), hub(1, 0.05))) == [("0-1", 0, 1)]
    assert moves(plan(Steal(), hub(0, 0.4, 0.3), hub(1, 0.55))) == []
    assert moves(plan(Steal(), hub(0, 0.3, 0.2), hub(1, 0.1))) == []


def test_greedy_moves_the_same_back_and_forth() -> None:
    """What `steady` is compared with: nothing here remembers."""
    there = moves(plan(Greedy(), hub(0, connection("a", 0.3), 0.3), hub(1)))
    back = moves(plan(Greedy(), hub(0, busy=0.1), hub(1, connection("a", 0.3), 0.35)))
    assert (there, back) == ([("0-1", 0, 1)], [("a", 1, 0)])


@st.composite
def grids(draw: st.DrawFn) -> list[list[float]]:
    """The loads of each hub's connections, in hundredths: so that sums and gaps are often equal."""
    sizes = st.integers(0, 6)
    hundredths = st.integers(0, 30)
    return [
        [draw(hundredths) / 100] * draw(st.integers(1, 8))
        + [draw(hundredths) / 100 for _ in range(draw(sizes))]
        for _ in range(draw(st.integers(2, 5)))
    ]


def added_in_turn(loads: list[float]) -> float:
    """What ``sum`` did before Python 3.12."""
    total = 0.0
    for load in loads:
        total += load
    return total


ADDINGS = (math.fsum, added_in_turn, lambda loads: added_in_turn(loads[::-1]))


@each_policy
@settings(max_examples=40, deadline=None)
@given(grid=grids(), bits=st.lists(st.integers(-2, 2), min_size=8, max_size=8))
def test_the_last_bits_decide_nothing(name: str, grid: list[list[float]], bits: list[int]) -> None:
    """However loads are added up, on whatever Python, the same moves; also of `steady` after its probes."""

    def decided(policy: Policy, add: Callable[[list[float]], float], bits: list[int]) -> object:
        turns = cycle(bits)
        plans = []
        for step in range(3):
            found = []
            for number, loads in enumerate(grid):
                blurred = [max(0.0, load + next(turns) * math.ulp(load)) for load in loads]
                found.append(hub(number, *blurred, busy=min(1.0, add(loads))))
            plans.append(moves(plan(policy, *found, now=100 + step / 2)))
        return plans

    for trusted in (False, True) if name == "steady" else (False,):
        results = []
        for add in ADDINGS:
            for noise in ([0], bits):
                policy = make_policy(name)
                if trusted:
                    policy._trials._took = policy._trials._came = 100.0  # type: ignore[attr-defined]
                results.append(decided(policy, add, noise))
        assert all(result == results[0] for result in results[1:])


DECIDING = (
    "balancing/policies/*.py", "balancing/simulation/*.py", "balancing/view.py",
    "hub/accepting/least_loaded.py", "hub/metering/rates.py", "hub/metering/usage.py", "hub/report.py",
)  # fmt: skip


def test_what_decides_adds_by_no_sum() -> None:
    """``sum`` adds floats otherwise from Python 3.12 on; ``math.fsum`` is exact everywhere."""
    package = Path(actorrpc.__file__).parent
    files = [path for pattern in DECIDING for path in package.glob(pattern)]
    assert len(files) > 20
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id
            assert named != "sum", f"{path.name}:{getattr(node, 'lineno', 0)} adds with sum"
