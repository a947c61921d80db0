"""When an actor ends that nobody calls, beside a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actorrpc.hub.keyed import resting
from actorrpc.hub.keyed.resting import AGAIN, Resting
from actorrpc.service import Keyed


class Clock:
    """Stands for the time, and for the timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: tuple[float, Callable[[], None]] | None = None

    @property
    def active(self) -> bool:
        return self.due is not None

    def set(self, seconds: float, function: Callable[[], None]) -> None:
        self.due = self.now + seconds, function

    def stop(self) -> None:
        self.due = None

    def advance(self, until: float) -> None:
        while self.due is not None and self.due[0] <= until:
            self.now, function = max(self.now, self.due[0]), self.due[1]
            function()
        self.now = max(self.now, until)


class Fake:
    """An actor: its calls, and when it ended."""

    takes_calls = True

    def __init__(self, world: World, key: str, idle: float) -> None:
        self.world, self.key, self.idle = world, key, idle
        self.name = "a.Service", key
        self.service = SimpleNamespace(__rpc__=SimpleNamespace(keyed=Keyed(field="key", idle=idle)))
        self.idle_since = 0.0
        self.watched = self.kept = False
        self.ended: float | None = None

    @property
    def resting(self) -> bool:
        return not self.kept

    def call(self) -> None:
        self.idle_since = 0.0

    def end_call(self) -> None:
        self.idle_since = self.world.clock.now
        if not self.watched:
            self.watched = True
            self.world.resting.watch(self, self.idle)  # type: ignore[arg-type]  # a fake

    def passivate(self) -> None:
        self.ended = self.world.clock.now
        del self.world.active[self.name]


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(resting, "monotonic", lambda: self.clock.now)
        monkeypatch.setattr(resting, "Timer", lambda: self.clock)
        self.active: dict[tuple[str, str], Fake] = {}
        self.resting = Resting(self.active)  # type: ignore[arg-type]  # fakes

    def make(self, key: str, idle: float) -> Fake:
        fake = self.active["a.Service", key] = Fake(self, key, idle)
        return fake


pauses = st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), max_size=5)


@example(actors=[(2.0, [(0.0, 3.0), (1.0, 4.5)]), (10.0, [(0.0, 1.0)])])
@given(actors=st.lists(st.tuples(st.sampled_from([0.0, 0.3, 2.0, 10.0]), pauses), min_size=1, max_size=5))
def test_each_ends_when_nobody_has_called_it_for_so_long(
    actors: list[tuple[float, list[tuple[float, float]]]],
) -> None:
    """``pauses``: for how long nobody calls, and how long the next call takes."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(monkeypatch)
        steps: list[tuple[float, int, Callable[[], None]]] = []
        expected = []
        for number, (idle, calls) in enumerate(actors):
            fake = world.make(str(number), idle)
            at = world.clock.now
            steps.append((at, len(steps), fake.end_call))
            for pause, took in calls:
                if pause >= idle:
                    break
                steps.append((at + pause, len(steps), fake.call))
                at += pause + took
                steps.append((at, len(steps), fake.end_call))
            expected.append((fake, at + idle))
        for at, _, step in sorted(steps, key=lambda step: step[:2]):
            world.clock.advance(at)
            step()
        world.clock.advance(world.clock.now + 100)
        for fake, at in expected:
            assert fake.ended == pytest.approx(at)
        assert world.clock.due is None


def test_one_that_something_keeps_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    fake = world.make("a", idle=0.0)
    fake.kept = True
    fake.end_call()
    world.clock.advance(world.clock.now + 2.5 * AGAIN)
    assert fake.ended is None
    fake.kept = False
    began = world.clock.now
    world.clock.advance(began + 10)
    assert fake.ended == pytest.approx(began + AGAIN / 2)


def test_one_that_has_left_and_come_again_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    world.make("a", idle=5.0).end_call()
    world.clock.advance(world.clock.now + 3)
    again = world.make("a", idle=5.0)
    again.end_call()
    came = world.clock.now
    world.clock.advance(came + 20)
    assert again.ended == pytest.approx(came + 5)


def test_many_do_not_hold_up_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    fakes = [world.make(str(number), idle=1.0) for number in range(100)]
    for fake in fakes:
        fake.end_call()
    took = 0.0005

    def passivate(fake: Fake) -> None:
        ended.append(fake)
        del world.active[fake.name]
        world.clock.now += took

    ended: list[Fake] = []
    monkeypatch.setattr(Fake, "passivate", passivate)
    world.clock.advance(world.clock.now + 1.0)
    assert 0 < len(ended) <= resting._SLICE / took + 1
    world.clock.advance(world.clock.now + 1.0)
    assert len(ended) == 100
