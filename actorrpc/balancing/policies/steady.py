"""``steady``: the balancing policy unless another is asked for. It would rather not move than move in vain.

A hub whose smoothed load is well above the mean of all hubs gives connections away until it is near the mean.
What moves is what fits into the gap best: at most half of it, so that two hubs cannot change roles. Each
connection must be worth its move, and then rests, as its two hubs do.

`levels.py` says how busy the hubs are. From that `persistence.py` and `trials.py` learn whether moving
helps, and `one_plan.py` says what moves now, by the numbers in `parameters.py`, as far as `throttling.py`
allows.

The policy begins with probes, small moves, until `trials.py` has seen that no more comes than is moved. Where
more comes it rests, and then probes again; each rest is longer than the last while the answer is the same.
Where gaps close by themselves, it takes a larger gap for it to move anything.
"""

from __future__ import annotations

from collections.abc import Iterable

from actorrpc.balancing.eligible import known
from actorrpc.balancing.policies.levels import Levels
from actorrpc.balancing.policies.one_plan import Plan
from actorrpc.balancing.policies.parameters import Parameters
from actorrpc.balancing.policies.persistence import Persistence
from actorrpc.balancing.policies.rounding import TOLERANCE, rounded
from actorrpc.balancing.policies.throttling import Backoff, Budget, Rest
from actorrpc.balancing.policies.trials import Trials
from actorrpc.balancing.view import ConnectionLoad, HubLoad, Move, Stay, View

__all__ = ["Steady"]


class Steady:
    """See the module. ``parameters`` are the policy's numbers, each with its reason."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._levels = Levels(self.parameters.smoothing)
        self._gaps = Persistence()
        self._trials = Trials()
        self._rest = Rest(self.parameters.rest, self.parameters.longest_rest)
        #: Why it rests, or has rested last.
        self._why = ""
        self._budget = Budget()
        self._backoff = Backoff(self.parameters.backoff, self.parameters.longest_backoff)
        #: Hubs that give until they are near the mean.
        self._giving: set[int] = set()
        self._seen = 0
        self._resting_until: dict[int, float] = {}

    def plan(self, view: View) -> Iterable[Move | Stay]:
        hubs = known(view)
        self._read(hubs, view)
        if len(hubs) < 2:
            self._giving.clear()
            return []
        levels, moved = self._levels.current(), self._levels.moved
        if self._gaps.learn(view.now, levels, moved):
            self._trials.learn(view.now, levels, moved, self._gaps.lasts)
        plan = Plan(self.parameters, view, hubs, levels, self._gaps.lasts, probing=not self._trials.trusted)
        self._mark(plan)
        if not self._giving:
            return []
        if reason := self._why_resting(view.now):
            return [Stay("", reason)]
        self._budget.refill(view.now, max(self.parameters.least_budget, self.parameters.budget * len(hubs)))
        plan.resting = {hub for hub, until in self._resting_until.items() if until > view.now}
        return self._decide(plan)

    def why_stays(self, view: View, hub: int, connection: ConnectionLoad) -> str:
        """As ``Explains`` has it."""
        levels = self._levels.current()
        hubs = [load for load in known(view) if load.hub in levels]
        if hub not in levels or len(hubs) < 2:
            return "there is no other hub to compare its hub with"
        plan = Plan(self.parameters, view, hubs, levels, self._gaps.lasts, probing=not self._trials.trusted)
        if hub not in self._giving:
            start, _ = plan.thresholds()
            return (
                f"hub {hub} is at {plan.levels[hub]:.2f} of a core, {plan.mean:.2f} on average: it gives "
                f"nothing away until it is {start:.2f} above that"
            )
        if self._rest.resting(view.now):
            return self._why
        plan.resting = {each for each, until in self._resting_until.items() if until > view.now}
        return plan.why_stays(connection, hub, self._backoff)

    def _read(self, hubs: list[HubLoad], view: View) -> None:
        self._levels.observe(view.now, hubs, view.history)
        for past in view.history.since(self._seen):
            self._backoff.learn(past)
            for hub in (past.move.source, past.move.target):
                self._resting_until[hub] = (past.ended or view.now) + self.parameters.hub_pause
        self._seen = view.history.count
        for past in list(view.history.in_flight.values()):
            for hub in (past.move.source, past.move.target):
                self._resting_until[hub] = view.now + self.parameters.hub_pause

    def _mark(self, plan: Plan) -> None:
        """A hub begins to give above one threshold and stops below a lower one: hysteresis."""
        start, stop = plan.thresholds()
        trust = max(0.0, min(1.0, self._gaps.lasts))
        self._giving = {
            hub
            for hub, level in plan.levels.items()
            if (level - plan.mean) * trust > (stop if hub in self._giving else start) + TOLERANCE
        }

    def _why_resting(self, now: float) -> str:
        """Why it rests; "" if something may move."""
        if self._rest.over(now):
            self._trials.forget()
        if self._trials.harmful and not self._rest.resting(now):
            self._rest.begin(now)
            worse = f"{self._trials.yields:.1f} times as much comes as is moved"
            self._why = f"moving makes it worse: {worse}; no moves for {self._rest.length:.0f} s"
        return self._why if self._rest.resting(now) else ""

    def _decide(self, plan: Plan) -> list[Move | Stay]:
        decided: list[Move | Stay] = []
        for hub in sorted(self._giving, key=lambda hub: (-rounded(plan.levels[hub]), hub)):
            if hub in plan.resting:
                continue
            if self._budget.left < 1:
                decided.append(Stay("", "the budget of moves is used up for this second"))
                break
            decided += plan.relieve(hub, self._backoff, self._budget)
        return decided

    def __repr__(self) -> str:
        state = f"{len(self._giving)} hubs give, {self._gaps.lasts:.2f} of gaps last"
        return f"<Steady: {state}, {self._trials!r}, rested {self._rest.length:.0f} s>"
