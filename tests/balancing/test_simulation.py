"""The simulation: nothing is lost or invented, equal runs are equal, and hubs queue as theory says."""

from __future__ import annotations

import numpy as np
import pytest

from actorrpc.balancing.policies import make_policy
from actorrpc.balancing.simulation.connections import LONG, SHORT, Connections
from actorrpc.balancing.simulation.hub_reports import HEAVIEST, OTHERS, PERIOD, HubReports
from actorrpc.balancing.simulation.measures import Measures, weighted_percentile
from actorrpc.balancing.simulation.queueing import SERVICE, drain
from actorrpc.balancing.simulation.results import run
from actorrpc.balancing.simulation.scenario import WORKLOADS, Scenario
from actorrpc.balancing.simulation.simulation import PLAN, Simulation
from actorrpc.balancing.view import ConnectionLoad, Move, View
from actorrpc.broker.moves import rebalancer
from actorrpc.hub import report, worker
from actorrpc.hub.metering import usage as metering

SMALL = Scenario(hubs=4, connections=80, minutes=0.5)


def simulate(policy: str = "greedy", **changes: object) -> Simulation:
    scenario = Scenario(**{"hubs": 4, "connections": 80, "minutes": 0.5, **changes})  # type: ignore[arg-type]
    simulation = Simulation(scenario, make_policy(policy))
    simulation.run()
    return simulation


def test_it_is_like_the_real_ones() -> None:
    """The simulation must not know the hub, so that it says again what it has in common with it."""
    assert (HEAVIEST, OTHERS) == (report.HEAVIEST, report.OTHERS)
    assert pytest.approx(worker.TICK * worker.TICKS_PER_REPORT) == PERIOD
    assert PLAN == rebalancer.PERIOD
    assert (LONG, SHORT) == (metering.LONG, metering.SHORT)


@pytest.mark.parametrize("utilisation", [0.1, 0.5, 0.9])
def test_a_steady_load_is_an_mm1_queue(utilisation: float) -> None:
    jobs = np.zeros(1)
    for _ in range(400):
        jobs = drain(jobs, np.array([utilisation * 0.25 / SERVICE]), 0.25)
    assert jobs[0] == pytest.approx(utilisation / (1 - utilisation), rel=1e-3)


def test_too_much_waits_as_a_fluid_does() -> None:
    jobs = drain(np.zeros(1), np.array([1.5 * 10 / SERVICE]), 10.0)
    assert jobs[0] * SERVICE == pytest.approx(5.0, rel=1e-3)
    assert drain(jobs, np.zeros(1), 4.0)[0] * SERVICE == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("load", WORKLOADS)
def test_connections_and_work_are_neither_lost_nor_invented(load: str) -> None:
    simulation = simulate(load=load, churn=6.0, abort=0.2)
    connections, measures = simulation.connections, simulation.measures
    assert sorted(row for hub in range(4) for row in connections.members(hub).tolist()) == list(range(80))
    for hub in range(4):
        assert (connections.hub[connections.members(hub)] == hub).all()
    left = float(simulation.jobs.sum()) * SERVICE
    assert measures.arrived == pytest.approx(measures.done + left)
    assert simulation._demand == pytest.approx(connections.demand())
    moves = len(simulation.history.past)
    assert moves == measures.moves + measures.aborted


@pytest.mark.parametrize("load", ["adversary", "follower", "herd"])
def test_adversaries_shift_load_and_invent_none(load: str) -> None:
    simulation = simulate(load=load)
    assert simulation.measures.moves > 0
    assert simulation.connections.load.sum() == pytest.approx(0.6 * 4)
    assert simulate("none", load=load).connections.load.sum() == pytest.approx(0.6 * 4)


def test_none_makes_no_moves() -> None:
    found = run(SMALL, "none")
    assert (found.figures.moves, found.figures.aborted, found.stays) == (0, 0, {})


def test_all_policies_meet_the_same_load() -> None:
    one, other = (simulate(policy, load="fast") for policy in ("none", "greedy"))
    assert (one.connections.load == other.connections.load).all()


def test_equal_runs_are_equal_and_others_are_not() -> None:
    assert run(SMALL, "steady") == run(SMALL, "steady")
    assert run(SMALL, "steady") != run(Scenario(hubs=4, connections=80, minutes=0.5, seed=2), "steady")


def test_every_move_may_be_aborted() -> None:
    simulation = simulate(abort=1.0)
    assert simulation.measures.moves == 0 and simulation.measures.aborted > 0
    assert {past.aborted for past in simulation.history.past} == {"the target refused it"}


def test_lost_hubs_come_back_empty_and_their_connections_are_others() -> None:
    simulation = simulate("none", churn=6.0)
    ids = {simulation.connections.id(row) for row in range(80)}
    assert any(not id.endswith(".0") for id in ids)
    gone = next(id for id in ids if not id.endswith(".0")).partition(".")[0] + ".0"
    assert simulation.connections.row(gone) is None


def test_heavy_ones_on_one_hub() -> None:
    found = {policy: run(Scenario(hubs=2, connections=40, minutes=0.5, placement="one"), policy).figures
             for policy in ("none", "steady")}  # fmt: skip
    assert found["none"].imbalance > 1.5 > found["steady"].imbalance


def test_averages_are_those_of_the_load() -> None:
    """As a hub would have them from samples: the closed form against many small steps."""
    connections = Connections(np.zeros(1, np.int64), 1, np.array([0.1]), np.zeros(1))
    rows = np.array([0])
    expected = np.array([0.1, 0.1])
    for at, load in ((3.0, 0.4), (4.0, 0.0), (9.0, 0.2)):
        connections.change(rows, np.array([load]), at)
        until = {3.0: 4.0, 4.0: 9.0, 9.0: 11.0}[at]
        steps = round((until - at) * 1000)
        for _ in range(steps):
            expected += (load - expected) * -np.expm1(-0.001 / np.array([10.0, 1.0]))
    assert connections.averages(rows, 11.0)[:, 0] == pytest.approx(expected, rel=1e-6)


def test_a_report_names_the_heaviest_and_others_in_turn() -> None:
    count = 100
    connections = Connections(np.zeros(count, np.int64), 1, np.arange(count) / 1000, np.zeros(count))
    reports = HubReports(connections, 0.0, 0.0, np.random.default_rng(1))
    others: set[str] = set()
    for step in range(8):
        reports.take(step / 4, [True], np.array([0.5]), np.ones(1), np.zeros(1))
        load = reports.arrived(step / 4)[0]
        assert [each.id for each in load.heaviest] == [f"{row}.0" for row in range(99, 99 - HEAVIEST, -1)]
        assert isinstance(load.heaviest[0], ConnectionLoad) and len(load.heaviest[:2]) == 2
        assert len(load.others) <= OTHERS
        others |= {each.id for each in load.others}
    assert len(others) == count


def test_reports_are_late() -> None:
    connections = Connections(np.zeros(1, np.int64), 2, np.array([0.1]), np.zeros(1))
    reports = HubReports(connections, 0.0, 1.0, np.random.default_rng(1))
    for step in range(9):
        reports.take(step / 4, [True, False], np.array([step / 10, 0.0]), np.ones(2), np.zeros(2))
    arrived = reports.arrived(2.0)
    assert list(arrived) == [0]
    assert (arrived[0].busy, arrived[0].stale) == (0.4, 1.0)
    assert reports.arrived(0.5).keys() <= {0}


def test_ping_pong_is_a_move_back_within_two_minutes() -> None:
    measures = Measures()
    for time, source, target in ((0.0, 0, 1), (60.0, 1, 0), (300.0, 0, 1), (301.0, 1, 2)):
        measures.moved("7.0", source, target, time)
    assert (measures.moves, measures.returns) == (4, 1)
    # Its hub has gone: who connects anew brings nothing back.
    measures.moved("7.1", 2, 1, 302.0)
    assert (measures.moves, measures.returns) == (5, 1)


def test_percentiles_weigh() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([1.0, 98.0, 1.0])
    assert [weighted_percentile(values, weights, each) for each in (50, 98.5, 100)] == [1, 2, 3]


class Vandal:
    """Asks for what is impossible."""

    def plan(self, view: View) -> list[Move]:
        return [Move("no such", 0, 1, ""), Move("7.0", 3, 3, ""), Move("7.9", 0, 1, "")]


def test_impossible_moves_are_aborted() -> None:
    simulation = Simulation(Scenario(hubs=2, connections=20, minutes=0.2), Vandal())
    simulation.run()
    assert simulation.measures.moves == 0
    assert {past.aborted for past in simulation.history.past} == {"it is not there any more"}


@pytest.mark.parametrize("seed", [1001, 1002])
def test_steady_stops_under_a_herd(seed: int) -> None:
    scenario = Scenario(load="herd", seed=seed, minutes=4.0)
    none, steady = run(scenario, "none"), run(scenario, "steady")
    assert steady.figures.delay_p99_ms <= 1.05 * none.figures.delay_p99_ms
    late = [moves for now, _, _, moves in steady.curves if now > 180]
    assert sum(late) / len(late) < 15


class Stubborn:
    """Asks for what its hub says that no policy may move."""

    def plan(self, view: View) -> list[Move]:
        named = view.loads[0].heaviest if 0 in view.loads else ()
        return [Move(each.id, 0, 1, "") for each in named if each.too_heavy]


def test_what_would_stop_two_hubs_for_too_long_does_not_move() -> None:
    scenario = Scenario(load="heavy", hubs=4, connections=80, minutes=0.5)
    simulation = Simulation(scenario, Stubborn())
    simulation.run()
    assert simulation.measures.moves == 0 and simulation.measures.aborted > 0
    for past in simulation.history.past:
        assert past.aborted.startswith("a move would stop its two hubs for ") and past.of_connection
    with_policy_none = simulate("none", load="heavy")
    assert simulation.measures.arrived == pytest.approx(with_policy_none.measures.arrived)


@pytest.mark.parametrize("limit", [0.05, 0.0])
@pytest.mark.parametrize("seed", [1001, 1003])
def test_steady_balances_with_what_is_light_to_move(limit: float, seed: int) -> None:
    """A third of the connections is too heavy: hubs come as near to each other with the others."""
    scenario = Scenario(load="heavy", seed=seed, max_move_time=limit)
    simulation = Simulation(scenario, make_policy("steady"))
    figures = simulation.run().figures(scenario.seconds)
    assert figures.imbalance < 1.15 and figures.moves_per_minute < 40
    costs = [
        simulation.connections.move_ms[int(past.move.connection.partition(".")[0])]
        for past in simulation.history.past
        if not past.aborted
    ]
    if limit:
        assert max(costs) <= 50
        assert any("a move would stop its two hubs for" in why for why in simulation.stays.values())
    # On average a connection's move costs 60 ms.
    assert sum(costs) / len(costs) < 30
