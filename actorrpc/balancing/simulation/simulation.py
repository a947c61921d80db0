"""One run: hubs that work off their jobs between events, and a policy that sees their reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from actorrpc.balancing.decide import MOVES_AT_ONCE, PolicyFailed, decide
from actorrpc.balancing.simulation.connections import Connections
from actorrpc.balancing.simulation.events import Events
from actorrpc.balancing.simulation.hub_reports import PERIOD, HubReports
from actorrpc.balancing.simulation.measures import Measures
from actorrpc.balancing.simulation.queueing import SERVICE, drain
from actorrpc.balancing.simulation.scenario import Scenario
from actorrpc.balancing.simulation.workloads import Changes, Floats, Indices, Workload
from actorrpc.balancing.view import History, Move, Policy, View
from actorrpc.errors import ConfigError

__all__ = ["Simulation"]

#: Seconds between two plans.
PLAN = 0.5
#: From the decision to the end of a move: messages between broker and hubs, then the rest of a turn.
LEAST_TRIP, MEAN_TURN = 0.005, 0.02
#: CPU of a move at both hubs together, in seconds (docs/evidence/chaos.md), to which comes what depends on
#: the connection. And how long an idle connection stands still (docs/design/handoff.md).
MOVE_CPU, MOVE_PAUSE = 0.0014, 0.0005
#: How long clients take to answer a move, and a hub to come back.
ANSWER, AWAY = 1.0, 30.0


class Simulation:
    """A scenario under a policy. ``on_progress`` is called once in each simulated second."""

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy,
        workload: Workload | None = None,
        connections: Connections | None = None,
        on_progress: Callable[[float], None] = lambda now: None,
    ) -> None:
        self.scenario = scenario
        self.policy = policy
        self.workload = workload or scenario.make_workload()
        self.connections = connections or scenario.place(self.workload)
        self.measures = Measures()
        self.history = History()
        self.stays: dict[str, str] = {}
        self.now = 0.0
        hubs = self.connections.hubs
        #: Jobs in each hub; whether it serves; what it does that belongs to no connection, in cores.
        self.jobs = np.zeros(hubs)
        self.serving = np.ones(hubs, np.bool_)
        self.fixed = np.zeros(hubs)
        #: Jobs that the moves have made at each hub since the last interval.
        self._made = np.zeros(hubs)
        self._demand = self.connections.demand()
        self._done = np.zeros(hubs)
        self._wanted = np.zeros(hubs)
        self._speed = np.ones(hubs)
        self._moves_random = scenario.random("moves")
        self._churn_random = scenario.random("churn")
        self._reports = HubReports(
            self.connections,
            scenario.noise,
            scenario.stale,
            scenario.random("reports"),
            scenario.too_long,
        )
        self._progress = on_progress
        self._events = self._schedule()

    def _schedule(self) -> Events:
        events = Events()
        events.every(self.workload.period, self._change, self.workload.period)
        events.every(PERIOD, self._report, PERIOD)
        events.every(PLAN, self._plan, PERIOD)
        events.every(1.0, self._progress, 1.0)
        if self.scenario.churn:
            events.at(self._next_loss(0.0), self._lose_hub)
        return events

    def run(self) -> Measures:
        """Run to the end of the scenario."""
        end = self.scenario.seconds
        while self._events.next_time <= end:
            time, happen = self._events.next()
            self._pass(time)
            happen(time)
        self._pass(end)
        return self.measures

    def _pass(self, to: float) -> None:
        """Hubs work off their jobs up to a moment, under loads that stay meanwhile."""
        seconds, self.now = to - self.now, to
        if seconds <= 0:
            return
        demand = self._demand + self.fixed
        arrived = demand * seconds / SERVICE + self._made
        left = drain(self.jobs, arrived, seconds)
        done = (self.jobs + arrived - left) * SERVICE
        self.jobs = left
        self._made[:] = 0
        self._done += done
        self._wanted += arrived * SERVICE
        self.measures.arrived += float(arrived.sum()) * SERVICE
        self.measures.done += float(done.sum())
        self.measures.interval(to, seconds, demand, self.serving, left)

    def _report(self, now: float) -> None:
        busy = self._done / PERIOD
        # A hub that is asked for too much gives each connection its share, averaged as loads are.
        got = np.divide(self._done, self._wanted, out=np.ones_like(busy), where=self._wanted > 1e-12)
        self._speed += (np.clip(got, 0, 2) - self._speed) * -np.expm1(-PERIOD)
        self._reports.take(now, self.serving.tolist(), busy, self._speed, self.jobs * SERVICE)
        self._done[:] = 0
        self._wanted[:] = 0

    def _next_loss(self, now: float) -> float:
        return now + float(self._churn_random.exponential(60 / self.scenario.churn))

    def _lose_hub(self, now: float) -> None:
        """A hub goes, and its clients connect again, wherever the kernel's hash puts them."""
        self._events.at(self._next_loss(now), self._lose_hub)
        there = np.flatnonzero(self.serving)
        lost = int(self._churn_random.choice(there))
        others = there[there != lost]
        if len(others) < max(1, self.connections.hubs // 2):
            return
        self.serving[lost] = False
        rows = self.connections.members(lost).copy()
        targets = others[self._churn_random.integers(len(others), size=len(rows))]
        self.connections.reconnect(rows, targets, now)
        # What waited there is asked for again.
        waiting = float(self.jobs[lost] + self._made[lost])
        self.jobs[lost] = self._made[lost] = 0.0
        self.jobs[others] += waiting / len(others)
        self._demand = self.connections.demand()
        self._events.at(now + AWAY, lambda _: self._return_hub(lost))

    def _return_hub(self, hub: int) -> None:
        self.serving[hub] = True
        self._speed[hub] = 1.0

    def _change(self, now: float) -> None:
        if (changes := self.workload.change(now)) is not None:
            self._apply(changes[0], self.scenario.in_cores(changes[1]), now)

    def _apply(self, rows: Indices, loads: Floats, now: float) -> None:
        if len(rows):
            self.connections.change(rows, loads, now)
            self._demand = self.connections.demand()

    def _answer(self, row: int, source: int, target: int) -> None:
        changes: Changes | None = self.workload.moved(row, source, target, self.connections)
        if changes is None:
            return
        rows = changes[0]
        self._apply(*changes, self.now)
        if self.workload.undone_after is not None:
            self._events.at(self.now + self.workload.undone_after, lambda now: self._change_loads(rows, now))

    def _change_loads(self, rows: Indices, now: float) -> None:
        """Connections take back their loads."""
        self._apply(rows, self.connections.load[rows[::-1]], now)

    def _plan(self, now: float) -> None:
        """Plan as the broker does, except that a policy that fails ends the run."""
        view = View(now, self._reports.arrived(now), self.history)
        try:
            decisions = decide(self.policy, view, self.history.in_flight)
        except PolicyFailed as error:
            raise ConfigError(f"the policy {error}") from error
        for stay in decisions.stays:
            self.stays[stay.what] = stay.reason
        for each in decisions.moves[: MOVES_AT_ONCE - len(self.history.in_flight)]:
            self.history.begun(each, now)
            trip = LEAST_TRIP + float(self._moves_random.exponential(MEAN_TURN))
            fails = bool(self._moves_random.random() < self.scenario.abort)
            self._events.at(now + trip, partial(self._end, each, fails))

    def _end(self, move: Move, fails: bool, now: float) -> None:
        row = self.connections.row(move.connection)
        too_long = "" if row is None else self.scenario.too_long(float(self.connections.move_ms[row]))
        aborted = self._obstacle(move) or too_long or ("the target refused it" if fails else "")
        if aborted:
            self.measures.aborted += 1
        if row is not None and self.connections.hub[row] == move.source:
            if not too_long:
                cpu = MOVE_CPU + self.connections.move_ms[row] / 1000
                for hub in (move.source, move.target):
                    self._made[hub] += cpu / 2 / SERVICE if self.serving[hub] else 0.0
            if not aborted:
                self._move(row, move, now)
        self.history.ended(move.connection, now, aborted, of_connection=row is None or bool(too_long))

    def _obstacle(self, move: Move) -> str:
        row = self.connections.row(move.connection)
        if row is None or self.connections.hub[row] != move.source:
            return "it is not there any more"
        return "" if self.serving[move.target] else "the target has gone"

    def _move(self, row: int, move: Move, now: float) -> None:
        source, target = move.source, move.target
        load = float(self.connections.load[row])
        demand = float(self._demand[source] + self.fixed[source])
        # Its share of what waits goes with it.
        waiting = float(self.jobs[source]) * load / demand if demand > 1e-12 else 0.0
        self.jobs[source] -= waiting
        self.jobs[target] += waiting
        self.connections.move(row, target)
        self._demand[source] -= load
        self._demand[target] += load
        self.measures.pause(MOVE_PAUSE + float(self.connections.move_ms[row]) / 1000, load)
        self.measures.moved(move.connection, source, target, now)
        self._events.at(now + ANSWER, lambda _: self._answer(row, source, target))
