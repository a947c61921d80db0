"""What a hub tells its broker four times a second. Small, and found without looking at all connections.

Looked at are connections that spent something since the last report, with a comparison each, and those that
weighed something lately; of the others a few, in turn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from time import thread_time
from typing import TYPE_CHECKING

from actorrpc.hub.metering.proc import ProcNumber
from actorrpc.hub.metering.usage import LIGHT, Usage
from actorrpc.hub.moving.move_cost import too_long
from actorrpc.hub.serving.obstacles import why_pinned, why_unquiet
from actorrpc.pb import control_pb2

if TYPE_CHECKING:
    from actorrpc.hub.node import Node
    from actorrpc.hub.serving.connection import Connection

__all__ = ["HEAVIEST", "OTHERS", "WARM", "Reporter", "Rotation", "core_wait"]

#: Connections that are reported by load. A policy moves a few of them at a time; the lightest of 32 has at
#: most a thirty-second of the hub, which is less than any threshold would be about. 48 connections take
#: 4 kB at most, 16 kB a second, and their reasons and sizes 0.3 ms of the hub.
HEAVIEST = 32
#: Others, in turn: in 20,000 connections each comes by every five minutes.
OTHERS = 16
#: Connections that are remembered while they do nothing, by load: one that works every few seconds
#: is not new.
WARM = 4 * HEAVIEST
#: What is forgotten when it does nothing.
_COLD = 0.001

#: Connections that have gone which one report passes over, to find ``OTHERS`` that are there.
_MAX_LOOKS = 4 * OTHERS

#: To weigh a state takes as long as to serialize it, and to count what else travels as long as to look at all
#: calls. So it is done at most so often, in seconds, and in all for this share of the time, on average.
_WEIGH_AGAIN = 5.0
_WEIGHING = 0.0025

#: Topics of a connection that are looked at, and messages a second below which a topic does not make a group.
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
    """Makes the reports of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._rotation = Rotation()
        self._warm: list[Usage] = []
        # Of this thread, which is the loop's.
        self._schedstat = ProcNumber("/proc/thread-self/schedstat", 1)
        self._statm = ProcNumber("/proc/self/statm", 1)
        #: Seconds that weighing states may take now; below 0 it has taken more than its share.
        self._allowance = 0.0
        #: Connections that the last report has looked at closely.
        self.touched = 0

    def report(self) -> control_pb2.Load:
        """What there is to tell of the connections. To be called in the loop's thread."""
        node, meter = self._node, self._node.meter
        now = meter.clock()
        busy = meter.measure(now, thread_time(), core_wait(self._schedstat))
        self._allowance = min(0.0, self._allowance) + _WEIGHING * (now - meter.since)
        heaviest = [connection for usage in self._rank(now) if (connection := self._connection(usage))]
        named = {connection.id for connection in heaviest}
        ids = self._rotation.take(OTHERS, node.connections, _MAX_LOOKS)
        others = [node.connections[id] for id in ids if id not in named]
        # Who was weighed longest ago comes first: heavy ones would keep the others from it.
        for connection in sorted([*heaviest, *others], key=lambda each: each.usage.weigh_at):
            if self._allowance <= 0:
                break
            self._allowance -= self.weigh(connection)
        load = control_pb2.Load(
            connections=len(node.connections),
            turns=node.turns,
            busy=busy,
            runnable=meter.runnable,
            memory=self._statm.read() * _PAGE,
            unsent_bytes=meter.unsent,
            shared=node.sharing.report(),
            heaviest=[self._describe(connection, now) for connection in heaviest],
            others=[self._describe(connection, now) for connection in others],
        )
        for each in load.heaviest:
            if each.group:
                load.groups[each.group] = node.topics.traffic(each.group, now)
        meter.since = now
        return load

    def settle(self) -> None:
        """Do what a report does to the averages, where nobody is to be told of them."""
        meter = self._node.meter
        now = meter.clock()
        meter.measure(now, thread_time(), core_wait(self._schedstat))
        self._rank(now)
        meter.since = now

    def close(self) -> None:
        """Let go of what it reads. A report may still follow, of a hub that stops."""
        self._schedstat.close()
        self._statm.close()

    def remember(self, usage: Usage) -> None:
        """A connection has come from another hub: it may be heavy, and do nothing just now."""
        self._warm.append(usage)

    def _rank(self, now: float) -> list[Usage]:
        """The heaviest connections, the first ones first."""
        meter = self._node.meter
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

    def _connection(self, usage: Usage) -> Connection | None:
        connection = self._node.connections.get(usage.id)
        return connection if connection is not None and connection.usage is usage else None

    def _describe(self, connection: Connection, now: float) -> control_pb2.ConnectionLoad:
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
            group=_group(connection, now),
            move_ms=usage.move_ms,
            too_heavy=not why and bool(usage.too_heavy),
        )

    def weigh(self, connection: Connection) -> float:
        """Find out how large its states are, and what its move would cost, unless that has just been done.
        Returns the seconds that this took."""
        usage, node = connection.usage, self._node
        clock = usage.meter.clock
        if (began := clock()) < usage.weigh_at:
            return 0.0
        usage.state_bytes = connection.state_bytes
        usage.weighing = clock() - began
        cost = node.move_costs.of(connection)
        usage.move_ms = cost.total * 1e3
        usage.too_heavy = too_long(cost, node.config.max_move_time)
        ended = clock()
        usage.weigh_at = ended + _WEIGH_AGAIN
        return ended - began

    def __repr__(self) -> str:
        return f"<Reporter {len(self._warm)} warm, {self.touched} touched>"


def _group(connection: Connection, now: float) -> str:
    """The topic in which the connection publishes, or is sent, the most, as ``counted_as`` names it; "" if
    that is little."""
    topics = connection.node.topics
    rates: dict[str, float] = {}
    for subscription in islice(connection.host.subscriptions, _SUBSCRIPTIONS):
        rates[subscription.group] = topics.heard(subscription.group, now)
    published = connection.usage.published
    for group in published or ():
        assert published is not None
        rates[group] = rates.get(group, 0.0) + published.rate(group, now)
    best = max(rates, key=rates.__getitem__, default="")
    return best if best and rates[best] >= _MEANINGFUL else ""


def core_wait(schedstat: ProcNumber) -> float:
    """Seconds that the thread was runnable and had no core, so far; 0 where the kernel does not tell."""
    return schedstat.read() / 1e9


_PAGE = os.sysconf("SC_PAGE_SIZE")
