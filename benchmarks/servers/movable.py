"""The app of actorrpc_hubs.py, whose hubs move connections between them.

With BENCHMARK_PREPARES set, the hubs write to that file, a line each, how many bytes each connection took
on the link to another hub.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from time import monotonic, process_time, thread_time
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original

import actorrpc
from actorrpc.ipc.link import Link
from actorrpc.pb import control_pb2
from benchmarks.gen.bench_actorrpc import CounterBase, CpuLoadBase, MovableBase, WorkerBase
from benchmarks.gen.bench_pb2 import Count, Done, Note, Payload, Ping, Place, Share, Size, Task

#: Seconds that a handler of a busy hub works at a time: so long others wait for their turn.
WORK = 250e-6

#: How often the waits between pieces of work are set anew, and how long they may be.
_ADJUSTMENT = 0.1
_SHORTEST, _LONGEST = 10e-6, 1.0


class Counter(CounterBase):
    def Add(self, request: Note, call: actorrpc.Call[Count]) -> Count:
        self.state.calls += 1
        return self.state


class Movable(MovableBase):
    state: Payload

    def Resize(self, request: Size, call: actorrpc.Call[Place]) -> Place:
        self.state.content = os.urandom(request.bytes)
        return Place(pid=os.getpid(), peer=call.peer)

    def PingPong(self, message: Ping, call: actorrpc.Call[Place]) -> None:
        call.send(Place(pid=os.getpid(), peer=call.peer))

    def PingPong_end(self, call: actorrpc.Call[Place]) -> None:
        call.finish()

    def Hold(self, request: Ping, call: actorrpc.Call[Place]) -> Iterator[Place]:
        yield Place(pid=os.getpid(), peer=call.peer)
        Event().wait()


class Pace:
    """The waits that keep this process, with all it does, at a share of one core."""

    def __init__(self) -> None:
        self._wait = 0.002
        self._since, self._used = monotonic(), process_time()

    def next_wait(self, share: float) -> float:
        """Seconds until the next piece of work: exponentially distributed, as independent clients come."""
        now = monotonic()
        if now - self._since >= _ADJUSTMENT:
            used = process_time()
            excess = (used - self._used) / (now - self._since) / share
            self._wait = min(max(self._wait * min(max(excess, 0.5), 2.0), _SHORTEST), _LONGEST)
            self._since, self._used = now, used
        return random.expovariate(1 / self._wait)


_pace = Pace()

#: A sleep that does not let others have the hub.
_hold = get_original("time", "sleep")


class CpuLoad(CpuLoadBase):
    def Burn(self, request: Share, call: actorrpc.Call[Done]) -> Done:
        end = thread_time() + WORK
        while thread_time() < end:
            pass
        gevent.sleep(_pace.next_wait(request.of_a_core))
        return Done()


class Worker(WorkerBase):
    state: Count

    def Work(self, request: Task, call: actorrpc.Call[Place]) -> Place:
        end = thread_time() + request.microseconds * 1e-6
        while thread_time() < end:
            pass
        if request.held_microseconds:
            _hold(request.held_microseconds * 1e-6)
        self.state.calls += 1
        return Place(pid=os.getpid(), peer=call.peer)


def _weigh(path: str) -> None:
    """Have what links send written down, where it is a PREPARE."""
    send = Link.send

    def weigh(
        link: Link[Any], message: Any, fds: Sequence[int] = (), then: Callable[[], None] | None = None
    ) -> bool:
        if isinstance(message, control_pb2.HubToHub) and message.HasField("prepare"):
            with open(path, "a") as file:
                file.write(f"{message.ByteSize()}\n")
        return send(link, message, fds, then)

    Link.send = weigh  # type: ignore[assignment, method-assign]


if _prepares := os.environ.get("BENCHMARK_PREPARES"):
    _weigh(_prepares)

app = actorrpc.App([Counter, Movable, CpuLoad, Worker])
