"""``steady``: the balancing policy unless another is asked for. It would rather not move than move in vain.

A hub whose smoothed load is well above the mean of all hubs gives connections away until it is near the mean.
What moves is what fits into the gap best: at most half of it, so that two hubs cannot change roles. Each
connection must be worth its move, and then rests, as its two hubs do. `levels.py` says how load is smoothed,
and `lessons.py` how the policy finds out that gaps do not last, or that moving does not close them: then it
moves nothing, and tries again after a rest, each longer than the last while the answer is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean

from actorrpc.broker.balancer import HubLoad, Move, Stay, View
from actorrpc.broker.policies.eligible import known
from actorrpc.broker.policies.lessons import Comparison, Lessons
from actorrpc.broker.policies.levels import Levels
from actorrpc.broker.policies.restraint import Backoff, Budget, Rest
from actorrpc.broker.policies.step import Step
from actorrpc.broker.policies.worth import Terms

__all__ = ["Steady"]


class Steady:
    """See the module. ``terms`` are the policy's numbers, each with its reason."""

    def __init__(self, terms: Terms | None = None) -> None:
        self.terms = terms or Terms()
        self._levels = Levels(self.terms.smoothing)
        self._lessons = Lessons()
        self._rest = Rest(self.terms.rest, self.terms.longest_rest)
        self._budget = Budget()
        self._comparison = Comparison()
        self._moved_at = -math.inf
        self._backoff = Backoff(self.terms.backoff, self.terms.longest_backoff)
        #: Hubs that give until they are near the mean.
        self._giving: set[int] = set()
        self._seen = 0
        self._busy_until: dict[int, float] = {}

    def plan(self, view: View) -> Iterable[Move | Stay]:
        hubs = known(view)
        self._read(hubs, view)
        if len(hubs) < 2:
            self._giving.clear()
            return []
        if self._lessons.learn(view.now, self._levels.settled(), self._levels.moved):
            self._compare(_spread(hubs), view.now)
        step = Step(self.terms, view, hubs, self._levels.projected(view.history), self._lessons.lasts)
        self._mark(step)
        if not self._giving:
            return []
        if reason := self._doubt(view.now):
            return [Stay("", reason)]
        self._budget.refill(view.now, max(self.terms.least_budget, self.terms.budget * len(hubs)))
        step.resting = {hub for hub, until in self._busy_until.items() if until > view.now}
        return self._decide(step)

    def _read(self, hubs: list[HubLoad], view: View) -> None:
        self._levels.observe(view.now, hubs, view.history)
        for past in view.history.since(self._seen):
            self._backoff.learn(past)
            for hub in (past.move.source, past.move.target):
                self._busy_until[hub] = (past.ended or view.now) + self.terms.hub_pause
        self._seen = view.history.count
        for past in list(view.history.in_flight.values()):
            for hub in (past.move.source, past.move.target):
                self._busy_until[hub] = view.now + self.terms.hub_pause

    def _compare(self, spread: float, now: float) -> None:
        """Is what hubs are now an effect of moves, or of their absence? Clients need time to answer."""
        since = now - self._moved_at
        if since <= self.terms.effect:
            self._comparison.while_moving(spread)
        elif since > self.terms.aftermath and self._rest.resting(now):
            self._comparison.while_still(spread)

    def _mark(self, step: Step) -> None:
        """A hub begins to give above one threshold, and ends under another: no wavering between them."""
        start, stop = step.thresholds()
        trust = min(1.0, self._lessons.lasts)
        self._giving = {
            hub
            for hub, level in step.levels.items()
            if (level - step.mean) * trust > (stop if hub in self._giving else start)
        }

    def _doubt(self, now: float) -> str:
        """Why nothing is to be moved at all; "" if something may be."""
        lessons = self._lessons
        if lessons.lasts < self.terms.least_lasting:
            return f"gaps between hubs do not last: {lessons.LAG:.0f} s later most of each has gone by itself"
        if self._rest.over(now):
            self._comparison.begin_again()
        if not self._rest.resting(now) and self._comparison.in_vain:
            self._rest.begin(now)
        if self._rest.resting(now):
            return (
                f"moving brings nothing: hubs are as far apart as without; none for {self._rest.length:.0f} s"
            )
        return ""

    def _decide(self, step: Step) -> list[Move | Stay]:
        decided: list[Move | Stay] = []
        for hub in sorted(self._giving, key=lambda hub: (-step.levels[hub], hub)):
            if hub in step.resting:
                continue
            if self._budget.left < 1:
                decided.append(Stay("", "the budget of moves is used up for this second"))
                break
            decided += step.relieve(hub, self._backoff, self._budget)
        if any(isinstance(each, Move) for each in decided):
            if self._comparison.still is None:
                self._comparison.while_still(_spread(step.hubs))
            self._moved_at = step.view.now
        return decided

    def __repr__(self) -> str:
        state = f"{len(self._giving)} hubs give, {self._lessons.lasts:.2f} of gaps last"
        return f"<Steady: {state}, rested {self._rest.length:.0f} s>"


def _spread(hubs: list[HubLoad]) -> float:
    mean = fmean(load.busy for load in hubs)
    return (max(load.busy for load in hubs) - mean) / max(mean, 1e-9)
