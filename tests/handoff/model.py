"""Two hubs, one connection and the link between them, as a model in which every step can be chosen.

The real ``Source`` and ``Target`` run; what they stand on is a fake, so that a test can deliver, stall,
kill and fire timers in any order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from actorrpc.errors import SnapshotError
from actorrpc.handoff.source import Source
from actorrpc.handoff.states import SourceEvent, SourceState, TargetEvent, TargetState
from actorrpc.handoff.target import Target
from actorrpc.pb import control_pb2


class FakeLink:
    """One direction of a link. ``kernel`` is what survives the sender; ``own`` is what dies with it."""

    def __init__(self) -> None:
        self.kernel: deque[control_pb2.HubToHub] = deque()
        self.own: deque[tuple[control_pb2.HubToHub, Callable[[], None] | None]] = deque()
        self.stalled = False
        self.ended = False

    def send(self, message: Any, fds: Any = (), then: Callable[[], None] | None = None) -> bool:
        if self.ended:
            return False
        self.own.append((message, then))
        self.push()
        return True

    def push(self) -> None:
        """The kernel takes what it can."""
        while self.own and not self.stalled:
            message, then = self.own.popleft()
            self.kernel.append(message)
            if then is not None:
                then()


class FakeConnection:
    """The connection at one hub: whether it reads and writes there."""

    id = "c"
    pinned = ""
    unquiet = "handler Lookup running for 3.2 s"

    def __init__(self, world: World, *, serving: bool) -> None:
        self.world = world
        self.serving = serving
        self.holds_socket = True
        self.on_quiet: Callable[[], None] | None = None

    def quiesce(self, on_quiet: Callable[[], None]) -> None:
        self.on_quiet = on_quiet

    def freeze(self) -> bytes:
        if self.world.unfit:
            raise SnapshotError("too large")
        self.serving = False
        return b"snapshot"

    def fileno(self) -> int:
        return 7

    def resume(self) -> None:
        self.serving = True

    serve = resume

    def release(self) -> None:
        self.serving = self.holds_socket = False

    discard = release


class World:
    """All of it. ``steps`` are the things that can happen next, by name."""

    def __init__(self, *, unfit: bool = False, refuses: bool = False) -> None:
        self.unfit = unfit
        self.refuses = refuses
        self.outcomes: list[str] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.forth, self.back = FakeLink(), FakeLink()
        self.source_alive = self.target_alive = True
        self.source_knows = self.target_knows = False  # that the other one is dead
        self.here = FakeConnection(self, serving=True)
        self.there: FakeConnection | None = None
        self.target: Target | None = None
        self.source = Source(
            self.here,
            self.forth,
            timer=self._timer,
            quiesce_timeout=1.0,
            done=lambda source, why: self.outcomes.append(why),
        )
        self.source.begin()

    def _timer(self, seconds: float, function: Callable[[], None]) -> Callable[[], None]:
        entry = (seconds, function)
        self.timers.append(entry)
        return lambda: self.timers.remove(entry) if entry in self.timers else None

    def steps(self) -> dict[str, Callable[[], None]]:
        steps: dict[str, Callable[[], None]] = {}
        if self.source_alive:
            if self.here.on_quiet is not None and self.source.state is SourceState.QUIESCING:
                steps["come to rest"] = self.here.on_quiet
            if self.timers:
                steps["fire a timer"] = self._fire
            if self.back.kernel:
                steps["deliver to source"] = self._to_source
            elif not self.target_alive and not self.source_knows:
                steps["source sees the link's end"] = self._source_sees_end
        if self.target_alive:
            if self.forth.kernel:
                steps["deliver to target"] = self._to_target
            elif not self.source_alive and not self.target_knows:
                steps["target sees the link's end"] = self._target_sees_end
        return steps

    def chaos(self) -> dict[str, Callable[[], None]]:
        """What an unlucky day brings, each at most once."""
        chaos: dict[str, Callable[[], None]] = {}
        if self.source_alive:
            chaos["kill source"] = self._kill_source
            if self.forth.stalled:
                chaos["unstall"] = self.unstall
            else:
                chaos["stall"] = self._stall
        if self.target_alive:
            chaos["kill target"] = self._kill_target
        return chaos

    def _fire(self) -> None:
        entry = self.timers.pop(0)
        entry[1]()

    def _stall(self) -> None:
        self.forth.stalled = True

    def unstall(self) -> None:
        self.forth.stalled = False
        self.forth.push()

    def _kill_source(self) -> None:
        self.source_alive = False
        self.here.serving = self.here.holds_socket = False
        self.forth.own.clear()
        self.forth.ended = self.back.ended = True

    def _kill_target(self) -> None:
        self.target_alive = False
        if self.there is not None:
            self.there.serving = self.there.holds_socket = False
        self.forth.ended = self.back.ended = True
        self.forth.own.clear()

    def _source_sees_end(self) -> None:
        self.source_knows = True
        self.source.on(SourceEvent.LINK_LOST, "the hub has died")

    def _target_sees_end(self) -> None:
        self.target_knows = True
        if self.target is not None and self.target.waiting:
            self.target.on(TargetEvent.LINK_LOST)

    def _to_source(self) -> None:
        kind = self.back.kernel.popleft().WhichOneof("kind")
        self.source.on({"prepared": SourceEvent.READY, "refused": SourceEvent.REFUSED}[kind])

    def _to_target(self) -> None:
        kind = self.forth.kernel.popleft().WhichOneof("kind")
        if kind == "prepare":
            self.target = Target("c", self.back)
            self.target.prepare(self._thaw)
        elif self.target is not None and self.target.waiting:
            self.target.on({"commit": TargetEvent.COMMIT, "abort": TargetEvent.ABORT}[kind])

    def _thaw(self) -> FakeConnection:
        if self.refuses:
            raise SnapshotError("newer than we are")
        self.there = FakeConnection(self, serving=False)
        return self.there

    # ---- what must hold

    @property
    def owners(self) -> list[str]:
        owners = []
        if self.source_alive and self.here.serving:
            owners.append("source")
        if self.target_alive and self.there is not None and self.there.serving:
            owners.append("target")
        return owners

    def check(self) -> None:
        """After every step: never two that serve."""
        assert len(self.owners) <= 1

    def check_end(self) -> None:
        """When nothing more can happen: one owner, unless the owner itself was killed; no socket leaks."""
        if self.source_alive and self.target_alive:
            assert len(self.owners) == 1
        if self.source_alive and self.source.state is not SourceState.MOVED:
            assert self.owners == ["source"]
        if self.target_alive and self.target is not None and self.target.state is TargetState.SERVING:
            assert self.owners == ["target"]
        if self.source_alive:
            assert len(self.outcomes) == 1 and not self.timers
            assert self.here.holds_socket == self.here.serving
        if self.target_alive and self.there is not None:
            assert self.there.holds_socket == self.there.serving
