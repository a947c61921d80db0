"""For how long processes that are drained are waited for."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from actorrpc.broker.deploying import endings
from actorrpc.broker.deploying.endings import wait_until_taken
from tests.support.waiting import PATIENCE, until


class FakeDrains:
    """Drains of which a test says whether they hold, and whether all is empty. ``looks`` counts."""

    def __init__(self, hold: bool, empty: bool = False) -> None:
        self._hold, self._empty = hold, empty
        self.looks = 0

    #: For how long nobody has been there.
    held_for = 1.0

    @property
    def hold(self) -> bool:
        self.looks += 1
        return self._hold

    def empty(self, process: object) -> bool:
        return self._empty

    def go_on(self) -> None:
        self._hold = False


class FakeProcess:
    exit_code: int | None = None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "LOOK", 0.001)


def wait(drains: Any, processes: list[Any], seconds: float) -> gevent.Greenlet[..., None]:
    return gevent.spawn(wait_until_taken, drains, processes, seconds)


@pytest.mark.parametrize(("empty", "seconds"), [(False, 0.0), (True, 10 * PATIENCE)])
def test_they_are_waited_for_as_long_as_nobody_is_there(empty: bool, seconds: float) -> None:
    """Whether the time is up or nothing is left."""
    drains = FakeDrains(hold=True, empty=empty)
    waiting = wait(drains, [FakeProcess()], seconds)
    until(lambda: drains.looks > 3, sleep=gevent.sleep)
    assert not waiting.ready()
    drains.go_on()
    waiting.get(timeout=PATIENCE)


def test_time_that_does_not_count_is_not_taken_off() -> None:
    drains = FakeDrains(hold=True)
    waiting = wait(drains, [FakeProcess()], 10 * PATIENCE)
    until(lambda: drains.looks > 3, sleep=gevent.sleep)
    drains.go_on()
    before = drains.looks
    until(lambda: drains.looks > before + 3, sleep=gevent.sleep)
    assert not waiting.ready()
    drains._empty = True
    waiting.get(timeout=PATIENCE)


def test_patience_may_end() -> None:
    drains: Any = FakeDrains(hold=True)
    processes: list[Any] = [FakeProcess()]
    assert not wait_until_taken(drains, processes, 0.0, patience=0.5)
    drains.go_on()
    assert wait_until_taken(drains, processes, 0.0, patience=0.5)


def test_those_that_have_ended_or_gone_to_another_are_not_waited_for() -> None:
    drains, process, processes = FakeDrains(hold=True), FakeProcess(), [FakeProcess()]
    waiting = [wait(drains, [process], PATIENCE), wait(drains, processes, PATIENCE)]
    until(lambda: drains.looks > 3, sleep=gevent.sleep)
    process.exit_code = 0
    processes.clear()
    gevent.joinall(waiting, timeout=PATIENCE, raise_error=True)
    assert all(each.ready() for each in waiting)
