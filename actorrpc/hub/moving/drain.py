"""Moving all connections of a hub to others, so that it can rest or end: for a drain, a reload, fewer hubs.

A few move at a time, heavy ones alone, so that the hub goes on serving those that are still here; and after
each stretch of moves it rests for as long as they cost both hubs, if there is time for it: without that
clients waited for half a second (docs/evidence/figures.md). What cannot move now is tried again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from time import monotonic

from gevent import get_hub

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.moving.move_cost import Cost
from actorrpc.hub.moving.obstacles import why_pinned, why_unquiet
from actorrpc.loop.timers import Timer
from actorrpc.pb import control_pb2

__all__ = ["AT_ONCE", "BUDGET", "NAMED", "Drain"]

#: So many move at once, as long as all together cost both hubs no more than so many seconds.
AT_ONCE, BUDGET = 4, 0.02
#: After moves that cost both hubs more than so many seconds together, this one rests for as long.
STRETCH = 0.005
#: After a freeze of more than so many seconds it rests for as long as that took, also if time is short.
HEAVY = 0.005
#: The part of its time that it plans to be over in.
_PLANNED = 0.8
#: Between two rounds of what could not move. A connection whose move was aborted waits longer each time, up
#: to so many seconds: while it is brought to rest, its calls wait.
ROUND, LONGEST_WAIT = 0.1, 3.2
#: A handler that has run for so long is taken for one that goes on: its connection is not brought to rest.
SOON = 0.5
#: So many are looked at in one step, which takes a millisecond, and then the loop goes on. Each that stays is
#: looked at again after so many seconds for each that does, if that is more than a round: in a hub with many
#: it would have little time for anything else.
LOOKS, PAUSE, PACE = 256, 0.001, 4e-5
#: Reasons that are told, and connections that are named in the end.
_REASONS, NAMED = 20, 10

#: Why a connection stays if nothing keeps it.
NOBODY = "no hub is there to take it"

#: Moves a connection to a process, by its serial, and calls back with what has come of it.
Move = Callable[[str, int, Callable[[control_pb2.MoveResult], None]], None]


@dataclass(slots=True)
class _Stay:
    """A connection that could not move: why, and when it is tried again after how long a wait."""

    why: str
    again: float
    wait: float


class Drain:
    """Under way until it is closed; ``moved`` counts. ``targets``: the processes that may be given
    connections, by serial, and how many each has. ``within``: the seconds that it should take at most.
    ``why_unfit`` says why one of them would refuse a connection, "" if it would not."""

    def __init__(
        self,
        connections: Mapping[str, CallStage],
        move: Move,
        cost: Callable[[CallStage], Cost],
        links: Mapping[int, object],
        targets: Mapping[int, int],
        within: float,
        why_unfit: Callable[[CallStage, int], str] = lambda connection, target: "",
    ) -> None:
        self.moved = 0
        self._began, self._within = monotonic(), within
        #: Since when there have been no targets.
        self._held_since = self._began
        #: What moves have cost since the last rest, in seconds.
        self._owed = 0.0
        self._connections = connections
        self._move = move
        self._cost = cost
        self._why_unfit = why_unfit
        self._links = links
        self._targets = dict(targets)
        self._waiting: deque[str] = deque()
        #: What the moves under way cost, in seconds.
        self._under_way: dict[str, float] = {}
        self._stays: dict[str, _Stay] = {}
        self._closed = False
        #: Until it looks again for what could not move; until it goes on after a rest.
        self._round, self._rest = Timer(), Timer()
        self._begin_round()

    def retarget(self, targets: Mapping[int, int]) -> None:
        """Others may be given connections from now on; without any, all stay. Such time does not count."""
        now = monotonic()
        if self._targets and not targets:
            self._held_since = now
        elif targets and not self._targets:
            self._began += now - self._held_since
        self._targets = dict(targets)

    def close(self) -> None:
        """Begin no more moves. Those under way go on."""
        self._closed = True
        self._round.stop()
        self._rest.stop()

    def report(self) -> control_pb2.Draining:
        """How far it is, and why what is left stays."""
        reasons = Counter(stay.why for id, stay in self._stays.items() if id in self._connections)
        if not self._targets and self._connections:
            reasons = Counter({NOBODY: len(self._connections)})
        return control_pb2.Draining(
            left=len(self._connections), moved=self.moved, stays=dict(reasons.most_common(_REASONS))
        )

    def left_behind(self) -> control_pb2.LeftBehind:
        """Who is still here, now that it comes to an end."""
        named = islice(self._connections.values(), NAMED)
        first = [control_pb2.Stay(connection=each.id, why=self._why(each)) for each in named]
        return control_pb2.LeftBehind(count=len(self._connections), first=first)

    def _why(self, connection: CallStage) -> str:
        if connection.id in self._under_way:
            return why_unquiet(connection) or "it was being moved"
        stay = self._stays.get(connection.id)
        if stay is not None:
            return stay.why
        return "its turn had not come" if self._targets else NOBODY

    def _begin_round(self) -> None:
        """Once all have been tried, look for what is here: more may have come, with the last moves to this
        hub, for one."""
        self._round.set(ROUND, self._begin_round)
        if self._waiting or not self._targets:
            return
        now = monotonic()
        self._stays = {id: stay for id, stay in self._stays.items() if id in self._connections}
        self._waiting.extend(
            id
            for id in self._connections
            if id not in self._under_way and ((stay := self._stays.get(id)) is None or stay.again <= now)
        )
        self._go_on()

    def _go_on(self) -> None:
        """Begin as many moves as may be under way at once."""
        looks = 0
        while self._waiting and not (self._closed or self._rest.active) and len(self._under_way) < AT_ONCE:
            if (looks := looks + 1) > LOOKS:
                self._rest.set(PAUSE, self._rested)
                return
            connection = self._connections.get(self._waiting[0])
            if connection is None:
                self._waiting.popleft()
                continue
            if why := why_not_now(connection):  # first: to count what it costs takes longer
                self._waiting.popleft()
                self._note(connection.id, why, max(ROUND, PACE * len(self._stays)))
                continue
            cost = self._cost(connection)
            if self._under_way and sum(self._under_way.values()) + cost.total > BUDGET:
                return
            self._waiting.popleft()
            self._begin(connection, cost)

    def _begin(self, connection: CallStage, cost: Cost) -> None:
        if (target := self._choose(connection)) is None:
            self._note(connection.id, NOBODY, ROUND)
            return
        self._under_way[connection.id] = cost.total
        self._move(connection.id, target, partial(self._ended, connection.id, target, cost))

    def _choose(self, connection: CallStage) -> int | None:
        """The process that has the fewest connections, of those that would not refuse this one if there are
        any."""
        there = [serial for serial in self._targets if serial in self._links]
        fit = [serial for serial in there if not self._why_unfit(connection, serial)]
        return min(fit or there, key=self._targets.__getitem__, default=None)

    def _ended(self, id: str, target: int, cost: Cost, result: control_pb2.MoveResult) -> None:
        self._under_way.pop(id, None)
        if result.outcome == control_pb2.MoveResult.MOVED:
            self.moved += 1
            self._stays.pop(id, None)
            if target in self._targets:  # else others have become the targets meanwhile
                self._targets[target] += 1
        elif result.outcome != control_pb2.MoveResult.UNKNOWN_CONNECTION:
            before = self._stays.get(id)
            self._note(id, result.why, min(2 * before.wait if before else ROUND, LONGEST_WAIT))
        if (seconds := self._due_rest(cost)) > 0:
            self._rest.set(seconds, self._rested)
        else:  # in a step of its own: who has waited for this one's freeze is served first
            get_hub().loop.run_callback(self._go_on)

    def _due_rest(self, cost: Cost) -> float:
        """For how many seconds it rests now, after a move of this cost."""
        seconds = cost.freeze if cost.freeze > HEAVY else 0.0
        self._owed += cost.total
        if self._owed > STRETCH:
            if not self._late():
                seconds = self._owed
            self._owed = 0.0
        return seconds

    def _late(self) -> bool:
        """Whether it would not be over in time, if the others took as long as those that have moved."""
        elapsed = monotonic() - self._began
        return elapsed + len(self._connections) * elapsed / max(self.moved, 1) > _PLANNED * self._within

    def _rested(self) -> None:
        self._rest.stop()
        self._go_on()

    def _note(self, id: str, why: str, wait: float) -> None:
        self._stays[id] = _Stay(why, monotonic() + wait, wait)

    def __repr__(self) -> str:
        return (
            f"<Drain {self.moved} moved, {len(self._under_way)} under way, "
            f"{len(self._waiting)} waiting, {len(self._stays)} stay>"
        )


def why_not_now(connection: CallStage) -> str:
    """Why it is not even tried to move a connection: what keeps it here will most likely not end soon."""
    if why := why_pinned(connection):
        return why
    now = monotonic()
    if any(call.runner is not None and now - call.since > SOON for call in connection.calls.values()):
        return why_unquiet(connection)
    return ""
