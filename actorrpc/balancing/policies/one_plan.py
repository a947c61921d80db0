"""One plan of `steady`: what moves from a hub that has too much, and where to."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import fmean

from actorrpc.balancing.eligible import movable, takes
from actorrpc.balancing.policies.parameters import Parameters, pays, stops, weight
from actorrpc.balancing.policies.rounding import TOLERANCE, rounded
from actorrpc.balancing.policies.throttling import Backoff, Budget
from actorrpc.balancing.view import ConnectionLoad, HubLoad, Move, Stay, View

__all__ = ["Plan"]


@dataclass
class Plan:
    """What each hub would have if all the moves decided so far had been made."""

    parameters: Parameters
    view: View
    hubs: list[HubLoad]
    levels: dict[int, float]
    lasts: float
    #: It is not known yet whether moves help: each hub that has too much makes one probe, and waits.
    probing: bool
    #: Hubs that have just given or taken.
    resting: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        for load in self.hubs:
            if (
                load.busy > self.parameters.full - TOLERANCE
            ):  # its level cannot be less, however it lags behind
                self.levels[load.hub] = max(self.levels[load.hub], load.busy)
        self.mean = fmean(self.levels.values())
        self._loads = {load.hub: load for load in self.hubs}
        self._coming: dict[int, int] = {}
        for past in list(self.view.history.in_flight.values()):
            self._count(past.move.target)
        #: Hubs that may take something, the least busy first: a heap of levels and numbers.
        self._targets: list[tuple[float, int]] = []

    def _count(self, target: int) -> None:
        self._coming[target] = self._coming.get(target, 0) + 1

    def thresholds(self) -> tuple[float, float]:
        """The excess over the mean at which a hub begins and stops to give, in cores."""
        parameters = self.parameters
        start = max(parameters.start * self.mean, parameters.least_excess)
        return start, start * parameters.stop

    def relieve(self, hub: int, backoff: Backoff, budget: Budget) -> Iterator[Move | Stay]:
        """Move from a hub what fits best, until it is near the mean or nothing is worth its move."""
        too_costly = self._too_costly(self._loads[hub])
        yield from self._relieve(hub, backoff, budget)
        yield from too_costly

    def _relieve(self, hub: int, backoff: Backoff, budget: Budget) -> Iterator[Move | Stay]:
        source = self._loads[hub]
        candidates = self._candidates(source)
        stop = self.thresholds()[1]
        moved = 0
        most = math.inf
        while self.levels[hub] - self.mean > stop + TOLERANCE and budget.left >= 1:
            target = self._least_busy_target(source, backoff)
            if target is None:
                yield Stay(f"hub {hub}", "no hub that is less busy than the mean can take anything now")
                return
            probe = self.probing and not self._is_obvious(source, target)
            if probe:
                most = self.parameters.probe * self._gap(source, target)
            best = self._best(source, target, candidates, most)
            if best is None:
                if not moved:
                    yield self._why_none(source, target, candidates)
                return
            candidates.remove(best)
            yield self._move(best, source, target)
            budget.left -= 1
            moved += 1
            if probe:
                yield from self._fill_probe(source, target, candidates, most - weight(best), budget)
                return

    def why_stays(self, connection: ConnectionLoad, hub: int, backoff: Backoff) -> str:
        """Why a connection of a hub that has too much does not move, or may not."""
        source, parameters = self._loads[hub], self.parameters
        if hub in self.resting:
            pause = parameters.hub_pause
            return f"hub {hub} has just given or taken something, and rests for {pause:.0f} s"
        if self._has_just_moved(connection):
            return f"it was to move lately, and stays where it is for {parameters.pause:.0f} s"
        load = weight(connection)
        if load > parameters.elephant - TOLERANCE:
            return f"it takes {load:.2f} of a core: it would fill any other hub as well"
        target = self._least_busy_target(source, backoff)
        if target is None:
            return "no hub that is less busy than the mean can take anything now"
        half = self._gap(source, target) / 2
        if load > half + TOLERANCE:
            return (
                f"it takes {load:.3f} of a core, more than half of what hub {hub} has more than hub "
                f"{target.hub} ({self._gap(source, target):.3f})"
            )
        if not pays(connection, self.lasts, parameters):
            return f"it takes {load:.3f} of a core, too little for its move to pay for itself"
        if not self._leaves(connection, target):
            return f"it came from hub {target.hub} less than {parameters.no_return:.0f} s ago"
        return f"it may move to hub {target.hub}, after those that fit better"

    def _is_obvious(self, source: HubLoad, target: HubLoad) -> bool:
        """Whether one is full and the other idle: then a move helps, whatever comes of it."""
        return (
            source.busy > self.parameters.full - TOLERANCE and target.busy < self.parameters.idle + TOLERANCE
        )

    def _fill_probe(
        self, source: HubLoad, target: HubLoad, candidates: list[ConnectionLoad], most: float, budget: Budget
    ) -> Iterator[Move]:
        """Fill up a probe, since one light connection would not show. The target takes nothing else."""
        enough = most / 2
        while (
            most > enough - TOLERANCE and budget.left >= 1 and takes(target, self._coming.get(target.hub, 0))
        ):
            fitting = [each for each in candidates if weight(each) < most + TOLERANCE]
            best = self._best(source, target, fitting, most)
            if best is None:
                break
            candidates.remove(best)
            yield self._move(best, source, target)
            budget.left -= 1
            most -= weight(best)
        self.resting.add(target.hub)

    def _too_costly(self, source: HubLoad) -> list[Stay]:
        """The heaviest connection that stays only because its move would stop both hubs for too long."""
        half = (self.levels[source.hub] - min(self.levels.values())) / 2
        staying = [
            each
            for each in source.heaviest
            if (each.too_heavy or not (each.why or pays(each, self.lasts, self.parameters)))
            and weight(each) <= half + TOLERANCE
            and pays(each, self.lasts, self.parameters, stop=0.0)
        ]
        if not staying:
            return []
        heaviest = min(staying, key=lambda each: (-rounded(weight(each)), each.id))
        if heaviest.too_heavy:
            return [Stay(heaviest.id, heaviest.why)]
        stop = stops(heaviest, self.parameters) * 1000
        why = f"a move would stop its two hubs for {stop:.0f} ms in all, and is not worth it"
        return [Stay(heaviest.id, why)]

    def _candidates(self, source: HubLoad) -> list[ConnectionLoad]:
        return [each for each in movable(source, self.view) if not self._has_just_moved(each)]

    def _has_just_moved(self, connection: ConnectionLoad) -> bool:
        last = self.view.history.last.get(connection.id)
        return last is not None and self.view.now - (last.ended or 0.0) < self.parameters.pause

    def _least_busy_target(self, source: HubLoad, backoff: Backoff) -> HubLoad | None:
        """The least busy hub that may take something from this one."""
        if not self._targets:
            self._targets = [
                (rounded(level), hub)
                for hub, level in self.levels.items()
                if hub not in self.resting and level < self.mean - TOLERANCE and takes(self._loads[hub])
            ]
            heapq.heapify(self._targets)
        passed_over = []
        found = None
        while self._targets and found is None:
            level, hub = heapq.heappop(self._targets)
            if level != rounded(self.levels[hub]):
                if self.levels[hub] < self.mean - TOLERANCE:
                    heapq.heappush(self._targets, (rounded(self.levels[hub]), hub))
                continue
            if hub in self.resting or not takes(self._loads[hub], self._coming.get(hub, 0)):
                continue
            passed_over.append((level, hub))
            if not backoff.blocked(source.hub, hub, self.view.now):
                found = self._loads[hub]
        for each in passed_over:
            heapq.heappush(self._targets, each)
        return found

    def _best(
        self, source: HubLoad, target: HubLoad, candidates: list[ConnectionLoad], most: float
    ) -> ConnectionLoad | None:
        """The connection nearest to what the source should lose, within half the gap."""
        half = self._gap(source, target) / 2
        wanted = min(half, self.levels[source.hub] - self.mean, most)
        best, best_miss = None, 0.0
        for each in candidates:
            load = weight(each)
            miss = rounded(abs(wanted - load))
            if load > half + TOLERANCE or (best is not None and (miss, each.id) >= (best_miss, best.id)):
                continue
            if pays(each, self.lasts, self.parameters) and self._leaves(each, target):
                best, best_miss = each, miss
        return best

    def _gap(self, source: HubLoad, target: HubLoad) -> float:
        return self.levels[source.hub] - self.levels[target.hub]

    def _leaves(self, connection: ConnectionLoad, target: HubLoad) -> bool:
        """Whether it may go there: for ``no_return`` seconds not back to the hub that it left last."""
        last = self.view.history.last.get(connection.id)
        return (
            last is None
            or bool(last.aborted)
            or last.move.source != target.hub
            or self.view.now - (last.ended or 0.0) >= self.parameters.no_return
        )

    def _move(self, connection: ConnectionLoad, source: HubLoad, target: HubLoad) -> Move:
        load = weight(connection)
        reason = (
            f"hub {source.hub} is at {self.levels[source.hub]:.2f} and hub {target.hub} at "
            f"{self.levels[target.hub]:.2f} of a core, {self.mean:.2f} on average: moves {load:.3f}"
        )
        self.levels[source.hub] -= load
        self.levels[target.hub] += load
        heapq.heappush(self._targets, (rounded(self.levels[target.hub]), target.hub))
        self._count(target.hub)
        return Move(connection.id, source.hub, target.hub, reason, load)

    def _why_none(self, source: HubLoad, target: HubLoad, candidates: list[ConnectionLoad]) -> Stay:
        """Why nothing moves, in words that stay the same from plan to plan, so that a journal counts them."""
        heaviest = max(source.heaviest, key=weight, default=None)
        if heaviest is not None and weight(heaviest) > self.parameters.elephant - TOLERANCE:
            return Stay(
                heaviest.id,
                f"fills most of a core on hub {source.hub}: left alone; nothing else there is worth a move",
            )
        what = f"hub {source.hub}"
        if not candidates:
            pinned = next((each for each in source.heaviest if each.why), None)
            if pinned is not None:
                return Stay(what, f"is busy, but nothing there can move now: {pinned.id}: {pinned.why}")
            return Stay(what, "is busy, but every connection that it reports has just moved")
        half = (self.levels[source.hub] - self.levels[target.hub]) / 2
        if all(weight(each) > half + TOLERANCE for each in candidates):
            return Stay(what, "is busy, but each connection on it is more than half the gap to any other hub")
        return Stay(what, "is busy, but no move from it would pay for itself")
