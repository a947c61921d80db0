"""A server whose metering can be exchanged while it runs: as it is, left out, or done in two other ways.

    python -m benchmarks.servers.metered SOCKET

At the Unix socket SOCKET it takes one command a connection, a line of JSON, and answers with another:
``{"way": "brackets"}`` (or off, switches, samples), ``{"blocking": true}`` (the echo waits once, for
nothing), and ``{"account": true}``, answered by what each connection claims, burnt and was charged.
"""

# The standard library is patched before anything is imported that might keep a part of it.
# ruff: noqa: E402

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import inspect
import json
import re
import signal
import socket
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable
from time import monotonic, thread_time
from types import FrameType
from typing import Any

import gevent
import greenlet
from gevent.lock import BoundedSemaphore
from gevent.server import StreamServer
from gevent.socket import wait_read

import actorrpc
from actorrpc.hub.actors.schedule import Schedule
from actorrpc.hub.metering.usage import Usage
from actorrpc.hub.runtime.runners import Runner, Runners
from actorrpc.hub.serving.connection import Connection
from benchmarks.gen.bench_actorrpc import BurdenBase, EchoBase
from benchmarks.gen.bench_pb2 import Done, Note, Share

#: Seconds of CPU that a burden takes in a turn: half of it before it blocks, half after.
WORK = 0.01
#: Burdens lighter than this take less, so that they come more often than once in a few seconds.
_LIGHT, _LIGHT_WORK = 0.02, 0.001

_REPORTS = 0.25
_SAMPLES = 0.005

#: What handlers have burnt, by the client's address.
burnt: defaultdict[str, float] = defaultdict(float)
#: What share of a core they are to burn, by the client's address.
claimed: dict[str, float] = {}
#: What connections have been charged, by the client's address.
charged: defaultdict[str, float] = defaultdict(float)
_seen: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

_lock = BoundedSemaphore()
_blocking = False


def burn(peer: str, seconds: float) -> None:
    began = thread_time()
    while (spent := thread_time() - began) < seconds:
        pass
    burnt[peer] += spent


class Echo(EchoBase):
    def Say(self, request: Note, call: actorrpc.Call[Note]) -> Note:
        if _blocking:
            gevent.sleep(0)
        return Note(number=request.number, text=request.text)


class Burden(BurdenBase):
    def Carry(self, request: Share, call: actorrpc.Call[Done]) -> Done:
        """Burn, wait, burn, so that all of it is the share of a core; then burn a little under a lock."""
        began = monotonic()
        claimed[call.peer] = request.of_a_core
        work = WORK if request.of_a_core > _LIGHT else _LIGHT_WORK
        burn(call.peer, work / 2)
        gevent.sleep(max(0.0, work / request.of_a_core - work - (monotonic() - began)))
        with _lock:
            burn(call.peer, work / 4)
            gevent.sleep(0)
            burn(call.peer, work / 4)
        return Done()


# ---- ways to meter

_METERED = re.compile(r"\b(usage|mark|meter)\b|resources\.turns|runner\.part")
_KINDS: dict[type, tuple[str, ...]] = {
    Connection: ("on_bytes", "flush"),
    Schedule: ("_work", "_continue", "count_turn", "_end_slice"),
}


def _stripped(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method without the lines that meter."""
    lines = textwrap.dedent(inspect.getsource(method)).splitlines()
    kept = [line for line in lines if not _METERED.search(line)]
    assert len(kept) < len(lines), method
    source = "\n".join(("from __future__ import annotations", *kept))
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{method.__qualname__}>", "exec"), method.__globals__, scope)
    return scope[method.__name__]  # type: ignore[no-any-return]


def _run_ready(schedule: Schedule) -> None:
    ready = schedule._ready
    while ready and not schedule.slice_over:
        lane = ready.pop(0)
        lane.queued = False
        lane.start()


_ORIGINAL = {(kind, name): getattr(kind, name) for kind, names in _KINDS.items() for name in names}
_PLAIN = {key: _stripped(method) for key, method in _ORIGINAL.items()}
_ORIGINAL[Schedule, "run_ready"], _PLAIN[Schedule, "run_ready"] = Schedule.run_ready, _run_ready
_START, _PLAIN_START = Runners.start, _stripped(Runners.start)
_RUNNER = {"switch": Runner.switch, "throw": Runner.throw}
_BARE = {"switch": greenlet.greenlet.switch, "throw": greenlet.greenlet.throw}


def _charge(usage: Usage, seconds: float) -> None:
    usage.meter.charged += seconds
    usage.spent += seconds
    if not usage.listed:
        usage.listed = True
        usage.meter.active.append(usage)


class Switches:
    """A hook on every switch of greenlets: the CPU of a runner is its connection's."""

    def __init__(self) -> None:
        self._since = thread_time()

    def __call__(self, event: str, greenlets: tuple[Any, Any]) -> None:
        now = thread_time()
        origin = greenlets[0]
        if type(origin) is Runner:
            _charge(origin.part.usage, now - self._since)
        self._since = now


def sample(number: int, frame: FrameType | None) -> None:
    """A signal of ITIMER_PROF: whoever runs is charged for all the time since the last one."""
    current = gevent.getcurrent()
    if type(current) is Runner:
        _charge(current.part.usage, _SAMPLES)
        return
    while frame is not None:
        connection = frame.f_locals.get("self")
        if isinstance(connection, Connection) and hasattr(connection, "usage"):  # it may just be being made
            _charge(connection.usage, _SAMPLES)
            return
        frame = frame.f_back


def meter_by(way: str) -> None:
    brackets = way == "brackets"
    for (kind, name), method in (_ORIGINAL if brackets else _PLAIN).items():
        setattr(kind, name, method)
    for name, method in (_RUNNER if brackets else _BARE).items():
        setattr(Runner, name, method)
    Runners.start = _PLAIN_START if way == "off" else _START  # type: ignore[method-assign]
    greenlet.settrace(Switches() if way == "switches" else None)
    signal.signal(signal.SIGPROF, sample)
    every = _SAMPLES if way == "samples" else 0.0
    signal.setitimer(signal.ITIMER_PROF, every, every)


# ---- the program


class Program:
    def __init__(self, server: actorrpc.Server) -> None:
        self._node = server._node
        server._settler.stop()  # the reports do it
        self._way = "brackets"

    def report(self) -> None:
        """As often as a hub does it."""
        if self._way == "off":
            return
        self._node.report().SerializeToString()
        for connection in self._node.connections.values():
            usage = connection.usage
            spent, doubted = _seen[connection.peer]
            off = (usage.doubted - doubted) * self._node.resources.meter.off
            charged[connection.peer] += usage.spent - spent - off
            _seen[connection.peer] = usage.spent, usage.doubted

    def command(self, client: socket.socket, address: object) -> None:
        global _blocking
        with client.makefile("rw") as stream:
            question = json.loads(stream.readline())
            if "way" in question:
                self._way = question["way"]
                meter_by(self._way)
            _blocking = question.get("blocking", _blocking)
            self.report()
            answer = {"burnt": burnt, "charged": charged, "claimed": claimed} if "account" in question else {}
            stream.write(json.dumps(answer) + "\n")


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    with actorrpc.Server(actorrpc.App([Echo, Burden]), bind="127.0.0.1:0") as server:
        program = Program(server)
        timer = gevent.get_hub().loop.timer(_REPORTS, _REPORTS)
        timer.start(program.report)
        StreamServer(listener, program.command).start()
        print(f"ready {server.address}", flush=True)
        wait_read(sys.stdin.fileno())
        server.stop(drain_timeout=0)


if __name__ == "__main__":
    main()
