"""``steady``: the balancing policy unless another is asked for. It would rather not move than move in vain.

A hub whose smoothed load is well above the mean of all hubs gives connections away until it is near the mean.
What moves is what fits into the gap best: at most half of it, so that two hubs cannot change roles. Each
connection must be worth its move, and then rests, as its two hubs do. `levels.py` says how load is smoothed,
and `lessons.py` how the policy finds out that gaps do not last, or that moving does not close them: then it
moves nothing, and tries again after a rest, each longer than the last while the answer is the same.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import fmean

from actorrpc.broker.balancer import ConnectionLoad, HubLoad, Move, Stay, View
from actorrpc.broker.eligible import known, movable, takes
from actorrpc.broker.lessons import Comparison, Lessons
from actorrpc.broker.levels import Levels
from actorrpc.broker.restraint import Backoff, Budget, Rest
from actorrpc.broker.worth import Terms, pays, weight

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
            self._compare(view.now)
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

    def _compare(self, now: float) -> None:
        """Is what hubs are now an effect of moves, or of their absence? Clients need time to answer."""
        since = now - self._moved_at
        if since <= self.terms.effect:
            self._comparison.while_moving(self._lessons.spread)
        elif self._rest.resting(now):
            self._comparison.while_still(self._lessons.spread)

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
                self._comparison.while_still(self._lessons.spread)
            self._moved_at = step.view.now
        return decided

    def __repr__(self) -> str:
        state = f"{len(self._giving)} hubs give, {self._lessons.lasts:.2f} of gaps last"
        return f"<Steady: {state}, rested {self._rest.length:.0f} s>"


@dataclass
class Step:
    """One planning step: what the hubs would have if all that is decided came about at once."""

    terms: Terms
    view: View
    hubs: list[HubLoad]
    levels: dict[int, float]
    lasts: float
    #: Hubs that have just given or taken.
    resting: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.mean = fmean(self.levels.values())
        self._loads = {load.hub: load for load in self.hubs}
        self._coming: dict[int, int] = {}
        for past in list(self.view.history.in_flight.values()):
            self._count(past.move.target)
        self._queue: list[tuple[float, int]] = []

    def _count(self, target: int) -> None:
        self._coming[target] = self._coming.get(target, 0) + 1

    def thresholds(self) -> tuple[float, float]:
        """The excess over the mean at which a hub begins and stops to give, in cores."""
        terms = self.terms
        start = max(terms.start * self.mean, terms.least_excess)
        return start, start * terms.stop

    def relieve(self, hub: int, backoff: Backoff, budget: Budget) -> Iterator[Move | Stay]:
        """Move from a hub what fits, the heaviest first, until it is near the mean or nothing pays."""
        source = self._loads[hub]
        candidates = self._candidates(source)
        stop = self.thresholds()[1]
        moved = 0
        while self.levels[hub] - self.mean > stop and budget.left >= 1:
            target = self._coolest(source, backoff)
            if target is None:
                yield Stay(f"hub {hub}", "no other hub that has room and rest is less busy")
                return
            best = self._best(source, target, candidates)
            if best is None:
                if not moved:
                    yield self._why_none(source, target, candidates)
                return
            candidates.remove(best)
            chosen = self._together(best, source, target, backoff)
            yield self._move(best, source, chosen)
            budget.left -= 1
            moved += 1

    def _candidates(self, source: HubLoad) -> list[ConnectionLoad]:
        return [each for each in movable(source, self.view) if not self._cooling(each)]

    def _cooling(self, connection: ConnectionLoad) -> bool:
        last = self.view.history.last.get(connection.id)
        return last is not None and self.view.now - (last.ended or 0.0) < self.terms.pause

    def _coolest(self, source: HubLoad, backoff: Backoff) -> HubLoad | None:
        """The least busy hub that may take something from this one."""
        if not self._queue:
            self._queue = [
                (level, hub)
                for hub, level in self.levels.items()
                if hub not in self.resting and level < self.mean and takes(self._loads[hub])
            ]
            heapq.heapify(self._queue)
        passed_over = []
        found = None
        while self._queue and found is None:
            level, hub = heapq.heappop(self._queue)
            if level != self.levels[hub]:
                if self.levels[hub] < self.mean:
                    heapq.heappush(self._queue, (self.levels[hub], hub))
                continue
            if not takes(self._loads[hub], self._coming.get(hub, 0)):
                continue
            passed_over.append((level, hub))
            if not backoff.blocked(source.hub, hub, self.view.now):
                found = self._loads[hub]
        for each in passed_over:
            heapq.heappush(self._queue, each)
        return found

    def _best(
        self, source: HubLoad, target: HubLoad, candidates: list[ConnectionLoad]
    ) -> ConnectionLoad | None:
        """The connection nearest to what the source should lose, within half the gap."""
        half = (self.levels[source.hub] - self.levels[target.hub]) / 2
        wanted = min(half, self.levels[source.hub] - self.mean)
        best, best_miss = None, 0.0
        for each in candidates:
            load = weight(each)
            miss = abs(wanted - load)
            if load > half or (best is not None and (miss, each.id) >= (best_miss, best.id)):
                continue
            if pays(each, self.lasts, self.terms) and self._leaves(each, target):
                best, best_miss = each, miss
        return best

    def _leaves(self, connection: ConnectionLoad, target: HubLoad) -> bool:
        """Not back to where it has come from: that is for long after."""
        last = self.view.history.last.get(connection.id)
        return (
            last is None
            or bool(last.aborted)
            or last.move.source != target.hub
            or self.view.now - (last.ended or 0.0) >= self.terms.no_return
        )

    def _together(
        self, connection: ConnectionLoad, source: HubLoad, target: HubLoad, backoff: Backoff
    ) -> HubLoad:
        """Another target that is as good, if there is one where the connection's group already is."""
        if not connection.group or target.groups.get(connection.group):
            return target
        limit = min(
            self.levels[target.hub] + self.terms.tie * self.mean,
            self.levels[source.hub] - 2 * weight(connection),
        )
        as_good = [
            (-load.groups[connection.group], load.hub)
            for load in self.hubs
            if load.groups.get(connection.group)
            and load is not source
            and load.hub not in self.resting
            and self.levels[load.hub] <= limit
            and takes(load, self._coming.get(load.hub, 0))
            and self._leaves(connection, load)
            and not backoff.blocked(source.hub, load.hub, self.view.now)
        ]
        return self._loads[min(as_good)[1]] if as_good else target

    def _move(self, connection: ConnectionLoad, source: HubLoad, target: HubLoad) -> Move:
        load = weight(connection)
        reason = (
            f"hub {source.hub} is at {self.levels[source.hub]:.2f} and hub {target.hub} at "
            f"{self.levels[target.hub]:.2f} of a core, {self.mean:.2f} on average: moves {load:.3f}"
        )
        if connection.group and target.groups.get(connection.group):
            reason += f", to others of {connection.group}"
        self.levels[source.hub] -= load
        self.levels[target.hub] += load
        heapq.heappush(self._queue, (self.levels[target.hub], target.hub))
        self._count(target.hub)
        return Move(connection.id, source.hub, target.hub, reason, load)

    def _why_none(self, source: HubLoad, target: HubLoad, candidates: list[ConnectionLoad]) -> Stay:
        """In words that stay the same while the case does, so that a journal can fold them."""
        heaviest = max(source.heaviest, key=weight, default=None)
        if heaviest is not None and weight(heaviest) >= self.terms.elephant:
            return Stay(
                heaviest.id,
                f"fills most of a core on hub {source.hub}: left alone; nothing else there is worth a move",
            )
        what = f"hub {source.hub}"
        if not candidates:
            pinned = next((each for each in source.heaviest if each.why), None)
            if pinned is not None:
                return Stay(what, f"is busy, but nothing there can move now: {pinned.id}: {pinned.why}")
            return Stay(what, "is busy, but all that was named there has just moved")
        half = (self.levels[source.hub] - self.levels[target.hub]) / 2
        if all(weight(each) > half for each in candidates):
            return Stay(what, "is busy, but each connection there is more than half the gap to any other hub")
        return Stay(what, "is busy, but no move from there would pay for itself")
