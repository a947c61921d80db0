"""What a hub does that has more memory than ``--max-memory``: others get the new connections, and the broker
is told which of its own have the largest states."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from time import perf_counter

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.metering.allocator import trim
from actorrpc.hub.metering.memory_limit import MemoryLimit
from actorrpc.hub.metering.proc import ProcNumber
from actorrpc.hub.moving.obstacles import why_pinned, why_unquiet
from actorrpc.hub.report import Reporter, Rotation
from actorrpc.pb import control_pb2

__all__ = ["LARGEST", "Largest", "Memory", "limited_memory"]

#: How many connections are named. The broker moves fewer of them between two reports.
LARGEST = 16
#: How many are looked at for one report, some at a time until that has taken so many seconds. Four times a
#: second that is 0.8 % of the hub, and 20,000 light connections are seen in ten seconds.
_LOOKS, _PORTION, _SECONDS = 500, 20, 0.002

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Largest:
    """Finds the connections with the largest states that can move, looking at some of them each time.

    ``weigh`` finds out how large the states of one are, unless that has just been done.
    """

    def __init__(
        self,
        connections: Mapping[str, CallStage],
        weigh: Callable[[CallStage], object],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._connections = connections
        self._weigh = weigh
        self._clock = clock
        self._rotation = Rotation()
        self._found: list[str] = []

    def look(self) -> list[CallStage]:
        """Look at some more. Returns the largest of those seen so far, the largest first."""
        until = self._clock() + _SECONDS
        seen = [id for id in self._found if id in self._connections]
        self._weigh_all(seen)
        for _ in range(_LOOKS // _PORTION):
            portion = self._rotation.take(_PORTION, self._connections, _PORTION)
            self._weigh_all(portion)
            seen += portion
            if self._clock() >= until:  # the portion is weighed in any case: each has its turn
                break
        largest = sorted(map(self._connections.__getitem__, dict.fromkeys(seen)), key=_size, reverse=True)
        found = list(islice(filter(_can_move, largest), LARGEST))
        self._found = [connection.id for connection in found]
        return found

    def _weigh_all(self, ids: Iterable[str]) -> None:
        for id in ids:
            self._weigh(self._connections[id])

    def __repr__(self) -> str:
        return f"<Largest {self._found}>"


class Memory:
    """The memory of one hub. ``describe`` says of a connection what reports do, and ``changed(over)`` is
    called when it has become too much, or no longer is."""

    def __init__(
        self,
        limit: int,
        largest: Largest,
        describe: Callable[[CallStage], control_pb2.ConnectionLoad],
        changed: Callable[[bool], None],
    ) -> None:
        self._statm = ProcNumber("/proc/self/statm", 1)
        self._limit = MemoryLimit(limit, lambda: self._statm.read() * _PAGE, trim)
        self._largest = largest
        self._describe = describe
        self._changed = changed

    def tell(self, load: control_pb2.Load) -> None:
        """Put into a report what the broker has to know; it has the memory already."""
        before = self._limit.over
        load.memory = self._limit.look(load.memory)
        load.over_memory = over = self._limit.over
        if over:
            load.largest.extend(map(self._describe, self._largest.look()))
        if over != before:
            self._changed(over)

    def close(self) -> None:
        self._statm.close()

    def __repr__(self) -> str:
        return f"<Memory {self._limit!r}>"


def limited_memory(
    limit: int,
    connections: Mapping[str, CallStage],
    reporter: Reporter,
    clock: Callable[[], float],
    changed: Callable[[bool], None],
) -> Memory | None:
    """What a hub has whose memory is limited; None for ``limit`` 0. ``changed`` is as in ``Memory``, and
    ``clock`` that of the hub's meter."""
    if not limit:
        return None
    largest = Largest(connections, reporter.weigh)
    return Memory(limit, largest, lambda connection: reporter.describe(connection, clock()), changed)


def _size(connection: CallStage) -> int:
    return connection.usage.state_bytes


def _can_move(connection: CallStage) -> bool:
    """Whether a policy's move would be begun."""
    return not (why_pinned(connection) or why_unquiet(connection) or connection.usage.too_heavy)
