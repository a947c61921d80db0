"""Each rule of `steady`: a case in which it decides."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.balancing.policies.levels import Levels
from actorrpc.balancing.policies.parameters import Parameters, stops
from actorrpc.balancing.policies.persistence import Persistence
from actorrpc.balancing.policies.steady import Steady
from actorrpc.balancing.policies.throttling import Backoff, Budget, Rest
from actorrpc.balancing.policies.trials import Trials
from actorrpc.balancing.view import History, HubLoad, Move, Stay
from tests.balancing.views import connection, hub, moves, plan, stays, view


def trusting(parameters: Parameters | None = None) -> Steady:
    """A policy that has seen for long that moves do what they promise: it need not probe."""
    policy = Steady(parameters)
    policy._trials._took = policy._trials._came = 100.0
    return policy


def test_a_busy_hub_gives_to_the_idlest() -> None:
    decided = plan(trusting(), hub(0, 0.4, 0.2, 0.1), hub(1, 0.3), hub(2, 0.1))
    assert moves(decided)[0] == ("0-1", 0, 2)
    assert isinstance(decided[0], Move)
    assert decided[0].load == 0.2
    assert decided[0].reason.startswith("hub 0 is at 0.70 and hub 2 at 0.10 of a core, 0.37 on average")


def test_a_small_gap_is_let_be_until_it_is_a_large_one() -> None:
    """Two thresholds: above the first a hub begins, and goes on until it is under the second."""
    policy = trusting()
    assert not policy.plan(view(hub(0, *[0.01] * 52), hub(1, *[0.01] * 48)))
    large = plan(policy, hub(0, *[0.01] * 60), hub(1, *[0.01] * 40), now=110)
    assert large
    assert moves(plan(policy, hub(0, *[0.01] * 52), hub(1, *[0.01] * 48), now=120))


def test_an_idle_server_is_let_be() -> None:
    assert not plan(trusting(), hub(0, 0.01, 0.008), hub(1))


@given(st.lists(st.lists(st.floats(0.001, 0.4), max_size=8), min_size=2, max_size=5))
@settings(max_examples=60, deadline=None)
def test_at_most_half_the_gap_in_one_step(loads: list[list[float]]) -> None:
    found = [hub(number, *each) for number, each in enumerate(loads)]
    moved: dict[tuple[int, int], float] = {}
    for move in plan(trusting(), *found):
        if isinstance(move, Move):
            pair = move.source, move.target
            moved[pair] = moved.get(pair, 0.0) + move.load
    for (source, target), load in moved.items():
        assert load <= (found[source].busy - found[target].busy) / 2 + 1e-9


def test_only_what_pays() -> None:
    light = [connection(f"c{at}", 0.02) for at in range(20)]
    assert moves(plan(trusting(), hub(0, *light), hub(1)))
    heavy_state = [connection(f"c{at}", 0.02, state_bytes=10**9) for at in range(20)]
    assert not moves(plan(trusting(), hub(0, *heavy_state), hub(1)))
    about_to_go = [connection(f"c{at}", 0.001, age=0.1) for at in range(20)]
    decided = plan(trusting(), hub(0, *about_to_go, busy=0.4), hub(1))
    assert moves(decided) == [] and "pay for itself" in stays(decided)["hub 0"]


def test_what_a_move_costs_is_weighed_and_said() -> None:
    """The heaviest would go first, were its move as cheap as those of the others."""
    for cost, left, reason in (
        (0.6, False, ""),
        (1200.0, True, "a move would stop its two hubs for 1200 ms in all, and is not worth it"),
    ):
        dear = connection("dear", 0.08, move_ms=cost)
        light = [connection(f"c{at}", 0.02, move_ms=0.6) for at in range(15)]
        decided = plan(trusting(), hub(0, dear, *light), hub(1))
        assert ("dear" not in {id for id, _, _ in moves(decided)}) == left
        assert len(moves(decided)) > 3
        assert stays(decided).get("dear", "") == reason


def test_what_no_policy_may_move_is_left_and_said() -> None:
    why = "a move would stop its two hubs for 340 ms in all, over 50 ms"
    heavy = connection("heavy", 0.08, move_ms=340.0, why=why, too_heavy=True)
    light = [connection(f"c{at}", 0.02, move_ms=0.6) for at in range(15)]
    decided = plan(trusting(), hub(0, heavy, *light), hub(1))
    assert stays(decided) == {"heavy": why}
    assert len(moves(decided)) > 3 and "heavy" not in {id for id, _, _ in moves(decided)}
    alone = plan(trusting(), hub(0, heavy, connection("pinned", 0.3, why="a handler runs")), hub(1))
    assert moves(alone) == [] and stays(alone)["heavy"] == why
    # Too much for any gap: it is not its move's cost for which it stays.
    elephant = connection("heavy", 0.7, move_ms=340.0, why=why, too_heavy=True)
    assert why not in stays(plan(trusting(), hub(0, elephant, *light), hub(1))).values()


def test_where_the_cost_is_not_known_what_is_counts() -> None:
    moved_once = connection("c", 0.02, freeze_ms=300.0)
    assert stops(moved_once, Parameters()) == pytest.approx(0.6)
    assert stops(connection("c", 0.02, state_bytes=10**8), Parameters()) == pytest.approx(0.5)
    assert stops(connection("c", 0.02, state_bytes=10**8, move_ms=7.0), Parameters()) == pytest.approx(0.007)


def test_a_connection_rests_after_its_move_and_does_not_return_for_longer() -> None:
    history = History()
    history.begun(Move("1-0", 0, 1, "", 0.3), 10.0)
    history.ended("1-0", 10.0)
    busy, idle = hub(1, 0.3, 0.35), hub(0)

    def at(now: float, *others: HubLoad) -> list[tuple[str, int, int]]:
        return moves(plan(trusting(), busy, idle, *others, now=now, history=history))

    def without_others(now: float) -> list[tuple[str, int, int]]:
        return moves(plan(trusting(), hub(1, 0.3, busy=0.65), idle, now=now, history=history))

    assert without_others(30.0) == without_others(100.0) == []
    assert without_others(10.0 + Parameters().no_return) == [("1-0", 1, 0)]
    # Elsewhere it may go sooner.
    third = hub(2)
    assert moves(
        plan(trusting(), hub(1, 0.3, busy=0.65), hub(0, 0.1), third, now=100.0, history=history)
    ) == [("1-0", 1, 2)]
    assert (
        moves(plan(trusting(), hub(1, 0.3, busy=0.65), hub(0, 0.1), third, now=40.0, history=history)) == []
    )
    assert at(10.0) == []


def test_hubs_rest_while_a_move_is_under_way_and_a_little_longer() -> None:
    policy, history = trusting(), History()
    found = hub(0, *[0.1] * 8), hub(1), hub(2)
    first = [each for each in plan(policy, *found, history=history) if isinstance(each, Move)]
    assert first
    for move in first:
        history.begun(move, 100.0)
    assert moves(plan(policy, *found, now=100.5, history=history)) == []
    for move in first:
        history.ended(move.connection, 100.6)
    assert moves(plan(policy, *found, now=101.0, history=history)) == []


def test_a_hub_that_is_giving_gives_nothing_else_meanwhile() -> None:
    history = History()
    history.begun(Move("light", 0, 1, "", 0.001), 99.0)
    assert moves(plan(trusting(), hub(0, *[0.1] * 8), hub(2), history=history)) == []


@pytest.mark.parametrize("stale", [0.1, 1.0, 1.9])
def test_the_same_load_is_not_moved_twice(stale: float) -> None:
    """Not even if it takes reports as long to show a move as they may be old."""
    policy, history, at = trusting(), History(), dict.fromkeys(range(16), 0)
    shown = dict(at)
    for step in range(24):
        now = 100 + step / 4
        shown |= {int(past.move.connection): 1 for past in history.past if (past.ended or now) <= now - stale}
        found = [
            hub(number, *[connection(str(one), 0.05) for one in at if shown[one] == number], stale=stale)
            for number in (0, 1)
        ]
        for each in plan(policy, *found, now=now, history=history):
            if isinstance(each, Move):
                assert (each.source, each.target) == (0, 1)
                history.begun(each, now)
                history.ended(each.connection, now)
                at[int(each.connection)] = 1
    assert sum(at.values()) == 8


def test_levels_show_a_move_with_the_next_report() -> None:
    levels, history = Levels(1.0), History()
    levels.observe(0.0, [hub(0, busy=0.8), hub(1, busy=0.2)], history)
    history.begun(Move("a", 0, 1, "", 0.3), 0.0)
    history.ended("a", 0.1)
    levels.observe(0.1, [hub(0, busy=0.8, stale=0.1), hub(1, busy=0.2, stale=0.1)], history)
    assert levels.current() == {0: 0.8, 1: 0.2}
    levels.observe(0.3, [hub(0, busy=0.5), hub(1, busy=0.5)], history)
    assert levels.current()[0] == pytest.approx(0.5) and levels.moved == {0: -0.3, 1: 0.3}


def test_an_aborted_move_has_moved_nothing() -> None:
    levels, history = Levels(1.0), History()
    levels.observe(0.0, [hub(0, busy=0.8), hub(1, busy=0.2)], history)
    history.begun(Move("a", 0, 1, "", 0.3), 0.0)
    history.ended("a", 0.1, "a turn runs")
    levels.observe(0.3, [hub(0, busy=0.8), hub(1, busy=0.2)], history)
    assert levels.current() == {0: 0.8, 1: 0.2} and levels.moved == {0: 0.0, 1: 0.0}


def test_one_noisy_report_moves_nothing() -> None:
    policy = trusting()
    for step in range(40):
        plan(policy, hub(0, *[0.1] * 5), hub(1, *[0.1] * 5), now=100 + step * 0.25)
    assert not plan(policy, hub(0, *[0.1] * 5, busy=0.6), hub(1, *[0.1] * 5), now=110.25)


def test_budget() -> None:
    parameters = Parameters(budget=0.0, least_budget=3.0)
    assert len(moves(plan(trusting(parameters), hub(0, *[0.02] * 40), hub(1), hub(2)))) == 3
    budget = Budget()
    budget.refill(0.0, 4.0)
    budget.left -= 4
    budget.refill(0.5, 4.0)
    assert budget.left == 2
    budget.refill(60.0, 4.0)
    assert budget.left == 4


def test_back_off_after_an_abort() -> None:
    history = History()
    history.begun(Move("x", 0, 2, "", 0.1), 97.0)
    history.ended("x", 97.0, "the target refused it")
    found = hub(0, 0.3, 0.3, 0.2), hub(1, 0.2), hub(2)
    assert moves(plan(trusting(), *found))[0][2] == 2
    assert moves(plan(trusting(), *found, history=history))[0][2] == 1


def test_back_off_doubles_and_ends_with_success() -> None:
    backoff, history = Backoff(5.0, 300.0), History()
    for aborted, until in (("no", 5.0), ("no", 10.0), ("no", 20.0), ("", 0.0), ("no", 5.0)):
        history.begun(Move("x", 0, 1, ""), 0.0)
        history.ended("x", 0.0, aborted)
        backoff.learn(history.past[-1])
        assert not backoff.blocked(0, 1, until) and not backoff.blocked(1, 0, 0.0)
        assert backoff.blocked(0, 1, until - 0.1) is bool(aborted)


def test_an_elephant_stays_and_the_others_leave() -> None:
    elephant = connection("elephant", 0.9)
    first = plan(trusting(), hub(0, elephant, 0.05, 0.04), hub(1, 0.4), hub(2, 0.4))
    assert {name for name, _, _ in moves(first)} == {"0-1", "0-2"}
    alone = plan(trusting(), hub(0, elephant), hub(1, 0.4), hub(2, 0.4))
    assert moves(alone) == []
    assert stays(alone)["elephant"].startswith("fills most of a core on hub 0: left alone")


def test_others_than_the_heaviest_leave_an_elephant_too() -> None:
    load = HubLoad(0, 0.98, 100, [connection("elephant", 0.9)], [connection("light", 0.01)])
    assert moves(plan(trusting(), load, hub(1, 0.4), hub(2, 0.4))) == [("light", 0, 1)]


def test_why_a_busy_hub_keeps_what_it_has() -> None:
    pinned = connection("p", 0.4, why="Lookup runs for 3 s")
    assert "p: Lookup runs" in stays(plan(trusting(), hub(0, pinned), hub(1)))["hub 0"]
    too_large = plan(trusting(), hub(0, 0.5), hub(1, 0.2))
    assert "more than half the gap" in stays(too_large)["hub 0"]
    nowhere = plan(trusting(), hub(0, 0.2, 0.2), hub(1, room=0))
    assert "no hub that is less busy" in stays(nowhere)["hub 0"]


def test_a_load_that_has_just_changed_weighs_what_it_does_now() -> None:
    rising = connection("rising", 0.05, recent=0.4)
    assert moves(plan(trusting(), hub(0, rising, 0.2, busy=0.6), hub(1))) == [("0-1", 0, 1)]


def run(policy: Steady, levels: list[tuple[float, float]]) -> list[list[Move | Stay]]:
    """Two hubs that are so busy, half a second apart; nothing comes of what is decided."""
    history = History()
    return [
        plan(policy, hub(0, *[one / 10] * 10), hub(1, *[other / 10] * 10), now=at * 0.5, history=history)
        for at, (one, other) in enumerate(levels)
    ]


def test_gaps_that_go_by_themselves_are_let_be() -> None:
    parameters = Parameters(start=9.0)  # it watches only
    policy = trusting(parameters)
    run(policy, [(0.7, 0.3) if at // 6 % 2 else (0.3, 0.7) for at in range(200)])
    policy.parameters = Parameters()
    assert run(policy, [(0.75, 0.3)] * 3) == [[], [], []]


def test_lasting_gaps_are_known_as_such() -> None:
    gaps = Persistence()
    for step in range(100):
        gaps.learn(step * 0.5, {0: 0.7, 1: 0.3}, {0: 0.0, 1: 0.0})
    assert gaps.lasts > 0.95


def test_a_full_hub_teaches_nothing() -> None:
    gaps = Persistence()
    for step in range(100):
        gaps.learn(step * 0.5, {0: 1.0 if step % 2 else 0.98}, {0: 0.0})
    assert gaps.lasts == Persistence.FIRST_GUESS


def test_a_rest_is_twice_the_last() -> None:
    rest = Rest(30.0, 100.0)
    lengths = []
    now = 0.0
    for _ in range(4):
        rest.begin(now)
        lengths.append(rest.length)
        assert rest.resting(now + rest.length - 1) and not rest.resting(now + rest.length)
        now += rest.length
        assert rest.over(now) and not rest.over(now)
    assert lengths == [30.0, 60.0, 100.0, 100.0]
    rest.begin(now + 500)
    assert rest.length == 30.0


def served(
    policy: Steady,
    seconds: float,
    follow: float = 0.0,
    calm: float = 0.0,
    fill: float = 1.0,
) -> list[tuple[float, list[float], Mapping[str, str]]]:
    """Two hubs with 16 connections, all on the first, which they ``fill`` after so many calm seconds.

    ``follow`` times as much comes after each that moves, a second later. Gives what each hub is
    asked for after every step of half a second, and why things stayed as they were.
    """
    history, at = History(), dict.fromkeys(range(16), 0)
    came: list[tuple[float, int, float]] = []
    found = []
    for step in range(round(seconds * 2)):
        now = 100 + step / 2
        each = fill / 16 if now >= 100 + calm else 0.001
        named = [[connection(str(one), each, age=60.0) for one in at if at[one] == place] for place in (0, 1)]
        asked = [sum(one.load for one in those) for those in named]
        for since, target, load in came:
            if now >= since + 1:
                asked[target] += load
                asked[1 - target] -= load
        hubs = [hub(place, *named[place], busy=max(0.0, min(1.0, asked[place]))) for place in (0, 1)]
        decided = plan(policy, *hubs, now=now, history=history)
        for move in decided:
            if isinstance(move, Move):
                history.begun(move, now)
                history.ended(move.connection, now)
                at[int(move.connection)] = move.target
                came.append((now, move.target, follow * move.load))
                for place, change in ((move.source, -move.load), (move.target, move.load)):
                    asked[place] += change
        found.append((now - 100 - calm, asked, stays(decided)))
    return found


@pytest.mark.parametrize("calm", [0.0, 30.0])
def test_a_full_hub_beside_an_idle_one_is_relieved_within_three_seconds(calm: float) -> None:
    served_by_now = {now: asked for now, asked, _ in served(Steady(), calm + 4, calm=calm)}
    assert max(served_by_now[2.0]) == pytest.approx(0.5)


def test_a_hub_that_is_not_full_is_probed() -> None:
    found = [asked for _, asked, _ in served(Steady(), 4, fill=0.8)]
    assert max(found[0]) == pytest.approx(0.7)
    assert max(found[-1]) <= 0.4 + 1 / 16


def test_it_rests_when_more_comes_than_is_moved() -> None:
    reasons = served(Steady(), 12, follow=2.7, fill=0.8)[-1][2]
    assert reasons[""].startswith("moving makes it worse")


def test_after_a_rest_it_probes_again() -> None:
    policy = Steady()
    served(policy, 4, follow=3.0, fill=0.8)
    found = [
        (now, each.load)
        for now in range(104, 140)
        for each in plan(policy, hub(0, *[0.08] * 10), hub(1), now=now)
        if isinstance(each, Move)
    ]
    assert 130 <= found[0][0] <= 134 and found[0][1] == 0.08


def test_the_budget_holds_for_probes() -> None:
    assert (
        len(moves(plan(Steady(Parameters(budget=0.0, least_budget=2.0)), hub(0, *[0.02] * 40), hub(1)))) == 2
    )


def test_a_probe_leaves_no_hub_overfull() -> None:
    assert len(moves(plan(Steady(), hub(0, *[0.02] * 40), hub(1, room=1)))) == 1


def test_trust_fades() -> None:
    trials = trusting()._trials
    assert trials.trusted
    for step in range(2000):
        trials.learn(step / 2, {0: 0.5, 1: 0.5 + step // 4 % 2 / 10}, {0: 0.0, 1: 0.0}, 1.0)
    assert not trials.trusted


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        ([0.08] * 10, [0.08]),
        ([0.02] * 40, [0.02] * 4),  # more than half of what a probe may be
        ([0.4, 0.3, 0.1], [0.1]),
        ([0.5, 0.3], [0.3]),  # the lightest, where there is no other
    ],
)
def test_a_probe_takes_an_eighth_of_the_gap(loads: list[float], expected: list[float]) -> None:
    decided = plan(Steady(), hub(0, *loads), hub(1), hub(2, 0.01), hub(3, 0.01))
    assert [each.load for each in decided if isinstance(each, Move)] == expected
    assert {target for _, _, target in moves(decided)} == {1}


def test_each_hub_probes_another_one() -> None:
    decided = plan(Steady(), hub(0, *[0.08] * 10), hub(1, *[0.07] * 11), hub(2), hub(3, 0.3))
    assert sorted((source, target) for _, source, target in moves(decided)) == [(0, 2), (1, 3)]


@pytest.mark.parametrize(("lasts", "noisy"), [(1.0, False), (0.0, True)])
def test_what_hubs_do_by_themselves_is_no_verdict(lasts: float, noisy: bool) -> None:
    """The idlest hub rises anyway where gaps fade; and chance leaves a verdict open."""
    trials = Trials()
    for step in range(60):
        moved = 0.05 if step >= 50 else 0.0
        jump = (0.2 if step // 4 % 2 else -0.2) if noisy else 0.0
        trials.learn(step / 2, {0: 0.7 - moved, 1: 0.3 + moved * 4, 2: 0.5 + jump, 3: 0.5 - jump},
            {0: -moved, 1: moved, 2: 0.0, 3: 0.0}, lasts)  # fmt: skip
    assert trials.harmful is not noisy and not trials.trusted


def test_a_gap_that_fades_is_not_what_came() -> None:
    for lasts, came in ((1.0, 3.0), (0.0, 1.0)):
        trials = Trials()
        for step in range(5):
            moved = 0.1 if step else 0.0
            rise = 0.3 if step else 0.0
            trials.learn(step / 2, {0: 0.7 - rise, 1: 0.3 + rise}, {0: -moved, 1: moved}, lasts)
        assert abs(trials.yields - came) < 1e-9


def test_later_moves_are_not_what_came() -> None:
    trials = Trials()
    for step in range(5):
        moved = 0.1 * (step >= 1) + 0.2 * (step >= 3)
        trials.learn(step / 2, {0: 0.9 - moved, 1: 0.1 + moved}, {0: -moved, 1: moved}, 1.0)
    assert abs(trials.yields - 1.0) < 1e-9


@pytest.mark.parametrize(
    ("came", "trusted", "harmful"),
    [(0.0, True, False), (1.0, True, False), (1.9, False, False), (2.1, False, False), (3.0, False, True)],
)
def test_verdicts(came: float, trusted: bool, harmful: bool) -> None:
    """A hub takes a tenth of a core, of which ``came`` times as much is there two seconds later."""
    trials = Trials()
    assert not trials.trusted and not trials.harmful
    for step in range(5):
        rise = 0.1 * came if step else 0.0
        moved = 0.1 if step else 0.0
        trials.learn(step / 2, {0: 0.8 - rise, 1: 0.2 + rise, 2: 0.5}, {0: -moved, 1: moved, 2: 0.0}, 1.0)
    assert abs(trials.yields - came) < 1e-9
    assert (trials.trusted, trials.harmful) == (trusted, harmful)
    trials.forget()
    assert not trials.trusted and not trials.harmful
