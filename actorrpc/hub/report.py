"""What a hub tells its broker four times a second: small, and made without looking at all connections.

A report looks at the connections that have spent something since the last one, with a comparison for each,
and at those that lately had a load; of the others it shows a few, which take turns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from itertools import islice

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.metering.proc import ProcNumber
from actorrpc.hub.metering.usage import LIGHT, Meter, Usage
from actorrpc.hub.moving.move_cost import Cost, too_long
from actorrpc.hub.moving.obstacles import why_pinned, why_unquiet
from actorrpc.hub.topics.engine import Topics
from actorrpc.pb import control_pb2

__all__ = ["HEAVIEST", "OTHERS", "WARM", "Reporter", "Rotation", "core_wait"]

#: How many connections are reported for their load. A policy moves a few of them at a time; the lightest of
#: 32 has at most a thirty-second of the hub, less than any threshold would be about. 48 connections take 4 kB
#: at most, 16 kB a second, and their reasons and sizes 0.3 ms of the hub.
HEAVIEST = 32
#: How many of the others are reported. Of 20,000 connections each has its turn every five minutes.
OTHERS = 16
#: How many connections are remembered while they do nothing, the heaviest: some work every few seconds only.
WARM = 4 * HEAVIEST
#: A connection with less load than this is forgotten when it does nothing.
_COLD = 0.001

#: Of how many ids one report finds out whether they are still there, to have ``OTHERS`` that are.
_MAX_LOOKS = 4 * OTHERS

#: To weigh a state takes as long as to serialize it, and to count what else travels as long as to look at all
#: calls. So it is done for a connection every so many seconds at most, and on average takes this share of the
#: time for all together.
_WEIGH_AGAIN = 5.0
_WEIGHING = 0.0025

#: How many of a connection's topics are looked at, and how many messages a second make a topic a group.
_SUBSCRIPTIONS = 32
_MEANINGFUL = 1.0


class Rotation:
    """Ids in turn, a few at a time, while they come and go."""

    def __init__(self) -> None:
        self._left: list[str] = []

    def take(self, count: int, present: Mapping[str, object], looks: int) -> list[str]:
        """Return the next ``count`` ids that are present, or fewer; look at no more than ``looks``."""
        found: list[str] = []
        refilled = False
        while len(found) < count and looks:
            if not self._left:
                if refilled:
                    break
                self._left, refilled = list(present), True  # 0.2 ms for 20,000, once in all their turns
                continue
            looks -= 1
            id = self._left.pop()
            if id in present:
                found.append(id)
        return found


class Reporter:
    """Makes the reports of one hub. ``move_cost`` says what it would cost to move a connection, and no policy
    may move one whose move takes longer than ``max_move_time`` seconds. ``count`` says how many of them are
    clients'."""

    def __init__(
        self,
        meter: Meter,
        connections: Mapping[str, CallStage],
        topics: Topics,
        move_cost: Callable[[CallStage], Cost],
        max_move_time: float,
        count: Callable[[], int] | None = None,
    ) -> None:
        self._count = count or (lambda: len(connections))
        self._meter = meter
        self._connections = connections
        self._topics = topics
        self._move_cost = move_cost
        self._max_move_time = max_move_time
        self._rotation = Rotation()
        self._warm: list[Usage] = []
        # Of this thread, which is the loop's.
        self._schedstat = ProcNumber("/proc/thread-self/schedstat", 1)
        self._statm = ProcNumber("/proc/self/statm", 1)
        #: Seconds that weighing states may take now; below 0 it has taken more than its share.
        self._allowance = 0.0
        #: Connections that the last report has looked at closely.
        self.touched = 0

    def report(
        self, turns: int, shared: control_pb2.SharedConnections | None, calls: int = 0
    ) -> control_pb2.Load:
        """What there is to tell of the connections, and of the hub. ``turns`` is how many have run there,
        ``calls`` how many clients have begun, and ``shared`` what is known of connections that several
        clients share. To be called in the loop's thread.
        """
        meter, connections = self._meter, self._connections
        now = meter.clock()
        busy = meter.measure(now, core_wait(self._schedstat))
        self._allowance = min(0.0, self._allowance) + _WEIGHING * (now - meter.since)
        heaviest = [connection for usage in self._rank(now) if (connection := self._connection(usage))]
        named = {connection.id for connection in heaviest}
        ids = self._rotation.take(OTHERS, connections, _MAX_LOOKS)
        others = [connections[id] for id in ids if id not in named]
        # Who was weighed longest ago comes first: heavy ones would keep the others from it.
        for connection in sorted([*heaviest, *others], key=lambda each: each.usage.weigh_at):
            if self._allowance <= 0:
                break
            self._allowance -= self.weigh(connection)
        load = control_pb2.Load(
            connections=self._count(),
            turns=turns,
            calls=calls,
            busy=busy,
            runnable=meter.runnable,
            memory=self._statm.read() * _PAGE,
            unsent_bytes=meter.unsent,
            shared=shared,
            heaviest=[self.describe(connection, now) for connection in heaviest],
            others=[self.describe(connection, now) for connection in others],
        )
        for each in load.heaviest:
            if each.group:
                load.groups[each.group] = self._topics.traffic(each.group, now)
        meter.since = now
        return load

    def settle(self) -> None:
        """Bring averages up to now, as a report does, where there is nobody to report to."""
        meter = self._meter
        now = meter.clock()
        meter.measure(now, core_wait(self._schedstat))
        self._rank(now)
        meter.since = now

    def close(self) -> None:
        """Close the files that it reads. A report may still follow, of a hub that stops."""
        self._schedstat.close()
        self._statm.close()

    def remember(self, usage: Usage) -> None:
        """A connection has come from another hub: it may be heavy, and do nothing just now."""
        self._warm.append(usage)

    def _rank(self, now: float) -> list[Usage]:
        """The heaviest connections, the first ones first."""
        meter = self._meter
        active, meter.active = meter.active, []
        candidates = {usage for usage in self._warm if not usage.closed}
        for usage in active:  # may be all connections: 0.2 µs for each that is light
            usage.listed = False
            if usage.spent - usage.settled >= LIGHT and usage.due >= LIGHT and not usage.closed:
                candidates.add(usage)
        for usage in candidates:
            usage.settle(now)
        self.touched = len(candidates)
        ranked = sorted(candidates, key=lambda usage: usage.load(now), reverse=True)[:WARM]
        self._warm = [usage for usage in ranked if usage.load(now) >= _COLD]
        return ranked[:HEAVIEST]

    def known(self) -> list[CallStage]:
        """Those that lately had a load, the heaviest first."""
        now = self._meter.clock()
        ranked = sorted(self._warm, key=lambda usage: usage.load(now), reverse=True)
        return [stage for usage in ranked if (stage := self._connection(usage)) is not None]

    def rank(self, id: str) -> int:
        """Which place a connection has among them, from 1 on; 0: none."""
        return next((at for at, stage in enumerate(self.known(), 1) if stage.id == id), 0)

    def _connection(self, usage: Usage) -> CallStage | None:
        connection = self._connections.get(usage.id)
        return connection if connection is not None and connection.usage is usage else None

    def describe(self, connection: CallStage, now: float) -> control_pb2.ConnectionLoad:
        """What a report says of one connection."""
        usage = connection.usage
        why = why_pinned(connection) or why_unquiet(connection)
        return control_pb2.ConnectionLoad(
            id=connection.id,
            load=usage.load(now),
            recent=usage.recent(now),
            state_bytes=usage.state_bytes,
            freeze_ms=usage.freeze_ms,
            age=now - usage.born,
            why=why or usage.too_heavy,
            group=self._group(connection, now),
            move_ms=usage.move_ms,
            too_heavy=not why and bool(usage.too_heavy),
        )

    def _group(self, connection: CallStage, now: float) -> str:
        """The topic in which the connection publishes, or is sent, the most, as ``counted_as`` names it; ""
        if that is little."""
        rates: dict[str, float] = {}
        for subscription in islice(connection.host.subscriptions, _SUBSCRIPTIONS):
            rates[subscription.group] = self._topics.heard(subscription.group, now)
        if (published := connection.usage.published) is not None:
            for group in published:
                rates[group] = rates.get(group, 0.0) + published.rate(group, now)
        best = max(rates, key=rates.__getitem__, default="")
        return best if best and rates[best] >= _MEANINGFUL else ""

    def weigh(self, connection: CallStage) -> float:
        """Find out how large its states are, and what its move would cost, unless that has just been done.
        Returns the seconds that this took."""
        usage, clock = connection.usage, self._meter.clock
        if (began := clock()) < usage.weigh_at:
            return 0.0
        usage.state_bytes = connection.cells.state_bytes
        usage.weighing = clock() - began
        cost = self._move_cost(connection)
        usage.move_ms = cost.total * 1e3
        usage.too_heavy = too_long(cost, self._max_move_time)
        ended = clock()
        usage.weigh_at = ended + _WEIGH_AGAIN
        return ended - began

    def __repr__(self) -> str:
        return f"<Reporter {len(self._warm)} warm, {self.touched} touched>"


def core_wait(schedstat: ProcNumber) -> float:
    """Seconds that the thread was runnable and had no core, so far; 0 where the kernel does not tell."""
    return schedstat.read() / 1e9


_PAGE = os.sysconf("SC_PAGE_SIZE")
