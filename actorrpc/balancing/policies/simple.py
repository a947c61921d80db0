"""Policies without a memory: ``none``, ``count``, ``greedy`` and ``steal``.

They are what other servers do, or what one would write first; ``steady`` is compared with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from actorrpc.balancing.eligible import known, movable, takes
from actorrpc.balancing.policies.rounding import TOLERANCE, rounded
from actorrpc.balancing.view import ConnectionLoad, HubLoad, Move, Stay, View

__all__ = ["Count", "Greedy", "Nothing", "Steal"]


class Nothing:
    """``none``: connections stay where they were accepted."""

    def plan(self, view: View) -> Iterable[Move | Stay]:
        return ()


class Count:
    """``count``: each hub has the same number of connections, whatever they do."""

    #: Moves of a hub in one plan. With more, their pauses would only coincide.
    AT_ONCE = 16

    def plan(self, view: View) -> Iterable[Move | Stay]:
        hubs = known(view)
        numbers, coming = Counter({each.hub: each.connections for each in hubs}), Counter[int]()
        for past in list(view.history.in_flight.values()):
            _count(past.move, numbers, coming)
        for source in sorted(hubs, key=lambda each: (-numbers[each.hub], each.hub)):
            for connection in islice(movable(source, view), self.AT_ONCE):
                open_to = [each for each in hubs if takes(each, coming[each.hub])]
                target = min(open_to, key=lambda each: (numbers[each.hub], each.hub), default=source)
                if numbers[target.hub] > numbers[source.hub] - 2:
                    break
                counts = f"{numbers[source.hub]} connections against {numbers[target.hub]}"
                move = Move(connection.id, source.hub, target.hub, counts, connection.load)
                _count(move, numbers, coming)
                yield move


def _count(move: Move, numbers: Counter[int], coming: Counter[int]) -> None:
    """Count as if the move had ended."""
    numbers[move.source] -= 1
    numbers[move.target] += 1
    coming[move.target] += 1


class Greedy:
    """``greedy``: from the busiest hub to the idlest what closes the gap best, by the last reports alone."""

    #: A gap, in cores, for which not even this policy moves anything.
    LEAST = 0.01

    def plan(self, view: View) -> Iterable[Move | Stay]:
        by_load = sorted(known(view), key=lambda each: (-rounded(each.busy), each.hub))
        coming = Counter(past.move.target for past in list(view.history.in_flight.values()))
        targets = [each for each in reversed(by_load) if takes(each, coming[each.hub])]
        for source, target in zip(by_load, targets, strict=False):
            gap = source.busy - target.busy
            if gap < self.LEAST + TOLERANCE:
                return
            if (best := _closest(source, gap / 2, gap, view)) is not None:
                reason = f"hub {source.hub} is {source.busy:.2f} busy, hub {target.hub} {target.busy:.2f}"
                yield Move(best.id, source.hub, target.hub, reason, best.recent)


class Steal:
    """``steal``: a hub that idles pulls from the busiest, as work-stealing schedulers do."""

    #: A hub that is less busy than the first is idle; one that is busier than the second gives something.
    IDLE, BUSY = 0.5, 0.6

    def plan(self, view: View) -> Iterable[Move | Stay]:
        hubs = known(view)
        victims = sorted(
            (each for each in hubs if each.busy > self.BUSY + TOLERANCE),
            key=lambda each: (-rounded(each.busy), each.hub),
        )
        thieves = sorted(
            (each for each in hubs if each.busy < self.IDLE - TOLERANCE),
            key=lambda each: (rounded(each.busy), each.hub),
        )
        yield from self._rob(iter(victims), thieves, view)

    def _rob(self, victims: Iterator[HubLoad], thieves: list[HubLoad], view: View) -> Iterator[Move]:
        engaged = {past.move.target for past in list(view.history.in_flight.values())}
        for thief in thieves:
            if thief.hub in engaged or not takes(thief):
                continue
            if (victim := next(victims, None)) is None:
                return
            half = (victim.busy - thief.busy) / 2
            if (best := _closest(victim, half, half, view)) is not None:
                reason = f"hub {thief.hub} is only {thief.busy:.2f} busy, hub {victim.hub} {victim.busy:.2f}"
                yield Move(best.id, victim.hub, thief.hub, reason, best.recent)


def _closest(source: HubLoad, wanted: float, most: float, view: View) -> ConnectionLoad | None:
    """The connection of a hub with the load nearest to ``wanted``, above zero and below ``most``."""
    fitting = [each for each in movable(source, view) if TOLERANCE < each.recent < most - TOLERANCE]
    return min(fitting, key=lambda each: (rounded(abs(each.recent - wanted)), each.id), default=None)
