"""How a hub that is drained shares its time between moves and those that it serves."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest

from actorrpc.hub.moving import drain
from actorrpc.hub.moving.drain import AT_ONCE, HEAVY, STRETCH, Drain
from actorrpc.hub.moving.move_cost import Cost
from actorrpc.hub.phase import SERVING
from actorrpc.pb.control_pb2 import MoveResult
from tests.support.waiting import until


class Timer:
    """A rest, or a wait for the next round: it is over when the test says so."""

    def __init__(self) -> None:
        self.active = False
        self.seconds: list[float] = []

    def set(self, seconds: float, function: Callable[[], object]) -> None:
        self.active = True
        self.seconds.append(seconds)
        self.function = function

    def stop(self) -> None:
        self.active = False


class Hub:
    """One that has connections, and another that takes them. A move is over when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, cost: Cost, within: float) -> None:
        self.now = 100.0
        monkeypatch.setattr(drain, "monotonic", lambda: self.now)
        monkeypatch.setattr(drain, "Timer", Timer)
        self.connections: dict[str, Any] = {str(number): _connection(str(number)) for number in range(count)}
        self.moving: list[tuple[str, Callable[[MoveResult], None]]] = []
        self.drain = Drain(
            self.connections, self._move, lambda connection: cost, {7: object()}, {7: 0}, within=within
        )
        rest: Any = self.drain._rest
        self.rests: Timer = rest

    def _move(self, id: str, target: int, done: Callable[[MoveResult], None]) -> None:
        assert target == 7
        self.moving.append((id, done))

    def end_a_move(self, took: float) -> None:
        """It has taken so many seconds. Waits until the next one has begun, if one is to begin."""
        id, done = self.moving.pop(0)
        self.now += took
        del self.connections[id]
        before = len(self.moving)
        done(MoveResult(outcome=MoveResult.MOVED))
        if len(self.connections) > before and not self.rests.active:
            until(lambda: len(self.moving) > before, sleep=gevent.sleep)

    def end_the_rest(self) -> None:
        self.now += self.rests.seconds[-1]
        self.rests.function()


def _connection(id: str) -> SimpleNamespace:
    return SimpleNamespace(id=id, phase=SimpleNamespace(state=SERVING), calls={})


def test_it_rests_after_each_stretch_for_as_long_as_the_moves_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    cost = Cost(STRETCH / 10, STRETCH / 6)
    hub = Hub(monkeypatch, 100, cost, within=1000)
    assert len(hub.moving) == AT_ONCE
    for _ in range(3):
        while not hub.rests.active:
            assert len(hub.moving) == AT_ONCE
            hub.end_a_move(0.001)
        assert hub.rests.seconds[-1] == pytest.approx(4 * cost.total)
        while hub.moving:  # those that are under way go on, and no other begins
            hub.end_a_move(0.001)
        hub.end_the_rest()
        assert len(hub.moving) == AT_ONCE
    assert hub.drain.moved == 3 * 4 + AT_ONCE - 1


def test_it_does_not_rest_if_it_would_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, 100, Cost(STRETCH / 10, STRETCH / 5), within=2.0)
    while hub.connections:  # 20 ms each, where 16 would do
        hub.end_a_move(0.02)
    assert hub.rests.seconds == [] and hub.drain.moved == 100


def test_it_rests_again_once_there_is_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, 100, Cost(STRETCH / 10, STRETCH / 5), within=2.0)
    for _ in range(8):
        hub.end_a_move(0.02)
    assert hub.rests.seconds == []
    while not hub.rests.active:
        hub.end_a_move(0.001)
    assert 8 < hub.drain.moved < 40


def test_after_a_heavy_move_it_rests_also_if_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, 3, Cost(2 * HEAVY, 30 * HEAVY), within=0.0)
    assert len(hub.moving) == 1  # heavy ones move alone
    hub.end_a_move(0.2)
    assert hub.rests.seconds == [2 * HEAVY] and not hub.moving
    hub.end_the_rest()
    assert len(hub.moving) == 1
