"""Where the connections of a drained hub go while a hub that should take them is silent."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from actorrpc.broker.deploying import drains as module
from actorrpc.broker.deploying.drains import Drains
from actorrpc.pb.control_pb2 import Load, ToHub
from tests.support.waiting import until


class FakeProcess:
    def __init__(self, serial: int) -> None:
        self.serial = serial
        self.state = "serving"
        self.exit_code: int | None = None
        self.pid = self.hub = serial
        self.draining = self.held = False
        self.load = Load()
        #: Where it was told to move what it has, each time; empty: nowhere for now, and to serve on.
        self.told: list[set[int]] = []
        #: Whether it was told to serve on, by the last word.
        self.holds = False
        #: In how many seconds, by the last word.
        self.within = 0.0

    @property
    def reliable(self) -> bool:
        return self.state == "serving" and not self.draining

    def send(self, message: ToHub) -> bool:
        assert not (message.drain.hold and message.drain.targets)
        self.holds = message.drain.hold
        self.told.append({*message.drain.targets})
        self.within = message.drain.within
        return True


class FakeMembers:
    def __init__(self, processes: list[FakeProcess]) -> None:
        self.processes = processes

    @property
    def serving(self) -> list[FakeProcess]:
        return [each for each in self.processes if each.exit_code is None]

    @property
    def balanced(self) -> list[FakeProcess]:
        return [each for each in self.serving if not each.draining]

    def assign_queues(self) -> None: ...

    def set_homeless(self, serials: object, *, share: bool = False) -> None: ...


@pytest.fixture
def processes() -> list[Any]:
    return [FakeProcess(serial) for serial in (1, 2, 11, 12)]


@pytest.fixture
def drains(processes: list[Any], monkeypatch: pytest.MonkeyPatch) -> Drains:
    monkeypatch.setattr(module, "LOOK", 0.001)
    members: Any = FakeMembers(processes)
    return Drains(members)


def wait(process: FakeProcess, targets: set[int]) -> None:
    until(lambda: process.told[-1] == targets, sleep=gevent.sleep)


def test_while_its_successor_is_silent_the_others_take_what_a_hub_has(
    drains: Drains, processes: list[Any]
) -> None:
    old, other, successor, neighbour = processes
    drains.begin({old: [successor], other: [neighbour]})
    assert (old.told, other.told) == ([{11}], [{12}])
    successor.state = "silent"
    wait(old, {12})
    neighbour.state = "silent"
    wait(old, set())  # if all are silent it stays
    assert (old.held, other.held, old.holds, other.holds) == (True,) * 4
    successor.state = "serving"
    wait(other, {11})
    assert (old.held, other.held, old.holds, other.holds) == (False,) * 4
    neighbour.state = "serving"
    wait(other, {12})
    assert old.told == [{11}, {12}, set(), {11}]


def test_a_hub_whose_targets_are_all_gone_serves_on_until_there_are_others(
    drains: Drains, processes: list[Any]
) -> None:
    old, _, *new = processes
    drains.begin({old: new})
    for process in processes[1:]:
        process.exit_code = -9
    drains.changed()
    assert old.told[-1] == set() and old.held and drains.held_for
    processes.append(again := FakeProcess(21))
    drains.changed()
    assert old.told[-1] == {again.serial} and not old.held and not drains.held_for


def test_nobody_looks_once_all_have_ended(drains: Drains, processes: list[Any]) -> None:
    drains.begin({processes[0]: [processes[2]]})
    assert drains._timer is not None
    processes[0].exit_code = 0
    until(lambda: drains._timer is None, sleep=gevent.sleep)
    drains.begin({processes[1]: ()})
    assert processes[1].told == [{11, 12}]
    drains.undo([processes[1]])
    until(lambda: drains._timer is None, sleep=gevent.sleep)


def test_the_last_word_says_how_much_time_there_is(drains: Drains, processes: list[Any]) -> None:
    """A hub that was drained by hand is ended by a reload, which has a drain timeout of its own."""
    old, other, *_ = processes
    drains.begin({old: (), other: ()})
    assert (old.within, other.within) == (0.0, 0.0)
    drains.begin({old: ()}, 2.0)
    assert (old.within, other.within) == (2.0, 0.0)
    drains.begin({old: ()})
    assert old.within == 0.0
