"""``steady``: the balancing policy unless another is asked for. It would rather not move than move in vain.

A hub whose smoothed load is well above the mean of all hubs gives connections away until it is near the mean.
What moves is what fits into the gap best: at most half of it, so that two hubs cannot change roles. Each
connection must be worth its move, and then rests, as its two hubs do. `levels.py` says how load is smoothed.

The policy begins with probes, small moves, until `trials.py` has seen that as much comes as is moved.
`lessons.py` says how it finds out that gaps do not last, or that moving does not close them. When it has, or
when more comes than is moved, it moves nothing, and probes again after a rest, each longer than the last
while the answer is the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import fmean

from actorrpc.balancing.eligible import known
from actorrpc.balancing.policies.do_gaps_last import Comparison, Lessons
from actorrpc.balancing.policies.grain import GRAIN, grained
from actorrpc.balancing.policies.levels import Levels
from actorrpc.balancing.policies.one_plan import Step
from actorrpc.balancing.policies.restraint import Backoff, Budget, Rest
from actorrpc.balancing.policies.terms import Terms
from actorrpc.balancing.policies.trials import Trials
from actorrpc.balancing.view import HubLoad, Move, Stay, View

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
        self._trials = Trials(self.terms.verdict)
        self._late_trials = Trials(self.terms.late_verdict)
        #: Of the last rest.
        self._why = ""
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
        levels, moved = self._levels.settled(), self._levels.moved
        if self._lessons.learn(view.now, levels, moved):
            self._compare(_spread(hubs), view.now)
            for trials in (self._trials, self._late_trials):
                trials.learn(view.now, levels, moved, self._lessons.lasts)
        step = Step(
            self.terms,
            view,
            hubs,
            self._levels.projected(view.history),
            self._lessons.lasts,
            probing=not self._trials.trusted,
        )
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
        """Is what hubs are now an effect of moves, or of their absence? Clients need time to answer.

        Probes are too small to bring hubs together, and are not held to it.
        """
        since = now - self._moved_at
        if since <= self.terms.effect and self._trials.trusted:
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
            if (level - step.mean) * trust > (stop if hub in self._giving else start) + GRAIN
        }

    def _doubt(self, now: float) -> str:
        """Why nothing is to be moved at all; "" if something may be."""
        lessons = self._lessons
        if lessons.lasts < self.terms.least_lasting:
            return f"gaps between hubs do not last: {lessons.LAG:.0f} s later most of each has gone by itself"
        if self._rest.over(now):
            self._comparison.begin_again()
            for trials in (self._trials, self._late_trials):
                trials.forget()
        if not self._rest.resting(now) and (verdict := self._verdict()):
            self._rest.begin(now)
            self._why = f"{verdict}; none for {self._rest.length:.0f} s"
        return self._why if self._rest.resting(now) else ""

    def _verdict(self) -> str:
        """Why moves had better not go on; "" if they may."""
        for trials in (self._trials, self._late_trials):
            if trials.harmful:
                return f"moving makes it worse: {trials.yields:.1f} times as much comes as is moved"
        if self._comparison.in_vain:
            return "moving brings nothing: hubs are as far apart as without"
        return ""

    def _decide(self, step: Step) -> list[Move | Stay]:
        decided: list[Move | Stay] = []
        for hub in sorted(self._giving, key=lambda hub: (-grained(step.levels[hub]), hub)):
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
        state += f", {self._trials!r}"
        return f"<Steady: {state}, rested {self._rest.length:.0f} s>"


def _spread(hubs: list[HubLoad]) -> float:
    mean = fmean(load.busy for load in hubs)
    return (max(load.busy for load in hubs) - mean) / max(mean, 1e-9)
