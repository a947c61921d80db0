"""A supervisor in this process whose hubs are fakes: they start, serve and die when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from types import SimpleNamespace
from typing import Any, TypeVar

import gevent
import pytest
from gevent.event import AsyncResult

from actorrpc.broker import supervisor as broker_supervisor
from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.sharing import members as broker_members
from actorrpc.broker.supervisor import Supervisor
from actorrpc.config import Config
from actorrpc.pb.control_pb2 import Draining, LeftBehind, Load, Stay, Stopping, ToHub
from tests.support.waiting import until

__all__ = ["FakeHub", "Supervised", "supervised"]

Found = TypeVar("Found")


class FakeHub:
    """A process of a hub. It has what topics it is given at once, and exits as soon as it is told to stop,
    unless it is ``stubborn``."""

    def __init__(self, hub: int, serial: int, generation: int, owner: Any) -> None:
        self.hub, self.serial, self.generation, self.pid = hub, serial, generation, serial
        self.ready = self.stopping = self.draining = self.held = self.stubborn = False
        #: Whether the broker has started it since the last one has died quickly.
        self.unproven = False
        self.exit_code: int | None = None
        self.started = self.reported = 0.0
        self.hello = None
        self.keyed = False
        self.trace = ""
        self.linked = False  # nobody looks whether it hangs
        self.load = Load()
        self.last_words: Stopping | None = None
        #: Where its connections go, by what it was told last; None: nowhere.
        self.targets: dict[int, int] | None = None
        self.drain_timeout: float | None = None
        self._owner = owner

    # ---- what the broker sees

    @property
    def state(self) -> str:
        if self.stopping:
            return "stopping"
        if not self.ready:
            return "starting"
        return "draining" if self.draining and not self.held else "serving"

    @property
    def reliable(self) -> bool:
        return self.state == "serving" and not (self.draining or self.unproven)

    @property
    def obeyed(self) -> bool:
        return self.stopping and self.exit_code == 0

    @property
    def empty(self) -> bool:
        return self.load.HasField("draining") and not self.load.connections

    def send(self, message: ToHub, fds: Sequence[int] = (), then: Callable[[], None] | None = None) -> bool:
        kind = message.WhichOneof("kind")
        assert self.ready or kind == "peer", f"{self} is told {kind} before it can hear it"
        if self.exit_code is not None:
            return False
        if kind == "homes":
            self._owner.hub_settled(self, message.homes.version)
        elif kind == "drain":
            self.targets = dict(message.drain.targets) or None
            self.has(self.load.connections)
        return True

    def ask(self, question: ToHub) -> AsyncResult[Any]:
        answer: AsyncResult[Any] = AsyncResult()
        answer.set(None)
        return answer

    def stop(self, drain_timeout: float) -> None:
        self.stopping, self.drain_timeout = True, drain_timeout
        first = [
            Stay(connection=f"{self.hub}-1-{each}", why="a handler runs")
            for each in range(self.load.connections)
        ]
        self.last_words = Stopping(left_behind=LeftBehind(count=len(first), first=first))
        if not self.stubborn:
            self.die(0)

    def kill(self) -> None:
        self.die(-9)

    def describe_exit(self) -> str:
        return f"exited with {self.exit_code}"

    # ---- what a test does

    def start(self, error: str = "", trace: str = "") -> None:
        """It has loaded the app, or cannot, and then exits."""
        self.ready, self.trace = not error, trace
        self._owner.hub_ready(self, error)
        if error:
            self.die(1)
        settle()

    def die(self, code: int = -9) -> None:
        if self.exit_code is None:
            self.exit_code = code
            self._owner.hub_exited(self)

    def has(self, connections: int) -> None:
        """So many connections."""
        self.load = Load(connections=connections)
        if self.targets is not None:
            stays = {"a handler runs": connections} if connections else {}
            self.load.draining.CopyFrom(Draining(left=connections, stays=stays))

    def __repr__(self) -> str:
        return f"<FakeHub {self.serial} of hub {self.hub}: {self.state}, {self.exit_code}>"


class FakeLauncher:
    """Starts fakes. ``failing``: from this hub on it cannot."""

    def __init__(self, owner: Any) -> None:
        self.hub_of: dict[int, int] = {}
        self.started: list[FakeHub] = []
        self.failing: int | None = None
        self._owner = owner
        self._serials = count(1000)

    def start(self, hub: int, generation: Generation, *, aside: bool = False) -> FakeHub:
        if self.failing is not None and hub >= self.failing:
            raise OSError("out of memory")
        process = FakeHub(hub, next(self._serials), generation.number, self._owner)
        self.hub_of[process.serial] = hub
        self.started.append(process)
        return process


class Supervised:
    """A supervisor whose first hubs serve, and what it does."""

    def __init__(self, supervisor: Supervisor, launcher: FakeLauncher) -> None:
        self.supervisor, self.launcher = supervisor, launcher
        self.deployment = supervisor.deployment

    @property
    def started(self) -> list[FakeHub]:
        """All that were ever started, the oldest first."""
        return self.launcher.started

    @property
    def living(self) -> list[FakeHub]:
        return [process for process in self.started if process.exit_code is None]

    def own(self) -> list[Any]:
        """The hubs' own processes."""
        return [slot.process for slot in self.supervisor.hubs]

    def phase(self) -> str:
        status = self.deployment.status()
        assert status is not None
        return str(status["phase"])

    def until(self, condition: Callable[[], Found]) -> Found:
        return until(condition, sleep=gevent.sleep, told=lambda: f"{self.deployment!r}, {self.started!r}")

    def until_phase(self, *phases: str) -> None:
        self.until(lambda: self.phase() in phases)

    def successors(self, number: int = 2) -> list[FakeHub]:
        """Those of the generation that a reload starts."""
        before = len(self.started)
        self.deployment.reload()
        return self.until(lambda: self.started[before:] if len(self.started) == before + number else [])

    def drain(self, hub: int, *, undo: bool = False) -> None:
        self.supervisor.events.change(lambda: self.deployment.drain(hub, undo=undo))
        settle()


def settle() -> None:
    """All events have been handled."""
    for _ in range(5):
        gevent.sleep(0)


@contextmanager
def supervised(patch: pytest.MonkeyPatch, hubs: int = 2, **config: Any) -> Iterator[Supervised]:
    """A supervisor whose hubs serve; it is stopped at the end of the block."""
    patch.setattr(broker_members, "introduce", lambda one, other, number: None)
    patch.setattr(broker_supervisor, "Launcher", lambda claim, queues, owner, move_every: FakeLauncher(owner))
    queues: Any = SimpleNamespace(
        hubs=hubs,
        address="here",
        accept="reuseport",
        bounds=[],
        assign=len,
        close=lambda: None,
        leave=lambda: None,
        status=list,
        written=list,
        why_not=lambda hello: "",
    )
    claim: Any = None
    # Fakes report nothing, and are not watched.
    settings = Config(hang_timeout=0.0, kill_timeout=0.0, **config)
    supervisor = Supervisor("app", settings, claim, queues, lambda *moved: None)
    ready = gevent.event.Event()
    running = gevent.spawn(supervisor.run, ready.set)
    launcher: Any = supervisor._launcher
    found = Supervised(supervisor, launcher)
    try:
        for process in found.until(lambda: found.started if len(found.started) == hubs else []):
            process.start()
        found.until(ready.is_set)
        yield found
    finally:
        for process in found.started:
            process.stubborn = False
        supervisor.stop_soon()
        for process in found.living:
            if process.stopping:
                process.die(0)
        found.until(running.ready)
        running.get()
        assert not found.living
