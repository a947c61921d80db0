"""Each step of a scale, and what becomes of it when that fails: with processes that are not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import AsyncResult

from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.deploying.scale import Scale
from actorrpc.broker.processes.hub_slots import HubSlots
from actorrpc.broker.sharing import members as broker_members
from actorrpc.broker.sharing.members import Members
from actorrpc.errors import ConfigError
from actorrpc.loop.timers import after
from actorrpc.pb.control_pb2 import Connections, Draining, LeftBehind, Load, Stay, Stopping, ToHub
from tests.support.waiting import PATIENCE, until


class FakeProcess:
    """It does what it is told at once."""

    def __init__(self, hub: int) -> None:
        self.hub, self.serial, self.pid = hub, 1001 + hub, 100 + hub
        self.exit_code: int | None = None
        self.draining = self.held = self.stopping = False
        self.obeyed = False
        self.trace = ""
        self.state = "serving"
        self.keyed = False
        self.load = Load()
        self.last_words: Stopping | None = None
        self.told: list[str] = []
        #: Whether it gives away what it has, and ends when it is told to.
        self.moves = self.ends = True

    @property
    def reliable(self) -> bool:
        return self.state == "serving" and not self.draining

    def send(self, message: ToHub) -> bool:
        self.told.append(message.WhichOneof("kind") or "")
        if self.told[-1] == "drain" and self.moves:
            self.load = Load(draining=Draining(moved=self.load.connections))
        return True

    def ask(self, question: ToHub) -> Any:
        answer: AsyncResult[Connections] = AsyncResult()
        answer.set(Connections())
        return answer

    @property
    def empty(self) -> bool:
        return self.load.HasField("draining") and not self.load.connections

    def stop(self, drain_timeout: float) -> None:
        self.told.append("stop")
        count = self.load.connections
        first = [Stay(connection=f"{self.hub}-1-{each}", why="a handler runs") for each in range(count)]
        self.last_words = Stopping(left_behind=LeftBehind(count=count, first=first))
        if self.ends:
            self.exit_code = 0

    def kill(self) -> None:
        self.told.append("kill")
        self.exit_code = -9

    def describe_exit(self) -> str:
        return "was killed"


class Broker:
    """What a scale changes. Processes that it starts are in ``started``."""

    def __init__(self, hubs: int) -> None:
        self.started: list[Any] = []
        self.fails: Exception | None = None
        queues: Any = SimpleNamespace(assign=len, grow=self._grow, bounds=[])
        self.grown = hubs
        self.queues = queues
        self.members = Members(queues, later=after)
        self.drains = Drains(self.members)
        self.hubs = HubSlots(hubs)
        self.old: list[Any] = [FakeProcess(hub) for hub in range(hubs)]
        for slot, process in zip(self.hubs, self.old, strict=True):
            slot.process = process
        self.members.join(self.old)

    def _grow(self, before: int, hubs: int) -> None:
        self.grown = max(hubs, self.grown)

    def start(self, hub: int) -> Any:
        if self.fails is not None and hub == 3:
            raise self.fails
        self.started.append(process := FakeProcess(hub))
        return process

    def scale(self, count: int, drain_timeout: float = PATIENCE) -> Scale:
        parts = (self.start, self.queues, self.members, self.drains)
        return Scale(count, self.hubs, *parts, lambda change: change(), drain_timeout)

    def begin(self, count: int, drain_timeout: float = PATIENCE) -> tuple[Scale, gevent.Greenlet[..., None]]:
        scale = self.scale(count, drain_timeout)
        scale.begin()
        return scale, gevent.spawn(scale.run)

    def settle(self) -> None:
        """Topics are where they are to be."""
        for version in range(1, 20):
            for process in self.members.serving:
                self.members.settled(process, version)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(broker_members, "introduce", lambda one, other, number: None)
    yield Broker(2)


def has_started(broker: Broker, count: int) -> Callable[[], bool]:
    return lambda: len(broker.started) == count


def test_new_hubs_serve_once_all_are_ready(broker: Broker) -> None:
    scale, running = broker.begin(4)
    until(has_started(broker, 2), sleep=gevent.sleep)
    assert broker.grown == 4
    scale.heard(broker.started[0], "")
    gevent.sleep(0)
    assert (len(broker.hubs), scale.phase) == (2, "starting")
    assert broker.started[0] in scale
    assert len(broker.hubs.processes) == 4, "they end with the server"
    scale.heard(broker.started[1], "")
    running.get(timeout=PATIENCE)
    assert (len(broker.hubs), scale.phase, scale.under_way) == (4, "done", False)
    assert broker.started[0] not in scale
    assert [slot.restarts for slot in broker.hubs][2:] == [0, 0]
    assert all(process in broker.members for process in broker.started)
    assert all("homes" in process.told for process in broker.started)


def test_one_that_cannot_start_ends_all_new_ones(broker: Broker) -> None:
    scale, running = broker.begin(4)
    until(has_started(broker, 2), sleep=gevent.sleep)
    scale.heard(broker.started[1], "its app is broken")
    running.get(timeout=PATIENCE)  # without waiting for the other one
    assert (scale.phase, scale.error) == ("abandoned", "its app is broken")
    assert [process.told for process in broker.started] == [["kill"], ["kill"]]
    assert len(broker.hubs) == 2
    for process in broker.started:
        broker.hubs.ended(process)
    assert broker.hubs.processes == broker.old


@pytest.mark.parametrize("error", [OSError("no more processes"), ConfigError("no more serials")])
def test_one_that_cannot_even_be_started(broker: Broker, error: Exception) -> None:
    broker.fails = error
    scale, running = broker.begin(4)
    running.get(timeout=PATIENCE)
    assert scale.phase == "abandoned"
    assert str(error) in scale.error
    assert [process.told for process in broker.started] == [["kill"]]


def test_one_that_dies_when_it_was_ready(broker: Broker) -> None:
    scale, running = broker.begin(4)
    until(has_started(broker, 2), sleep=gevent.sleep)
    scale.heard(broker.started[0], "")
    broker.started[0].exit_code = -9
    scale.heard(broker.started[0], "too late")
    scale.heard(broker.started[1], "")
    running.get(timeout=PATIENCE)
    assert (scale.phase, scale.error) == ("abandoned", "hub 2 was killed when it was ready")
    assert len(broker.hubs) == 2
    assert broker.started[1].told == ["kill"]


def test_the_highest_go_when_they_are_empty(broker: Broker) -> None:
    broker.old[1].moves = False
    broker.old[1].load.connections = 3
    scale, running = broker.begin(1)
    assert [slot.leaving for slot in broker.hubs] == [False, True]
    gevent.sleep(0)
    broker.settle()
    assert (scale.phase, len(broker.hubs)) == ("moving", 2)
    assert "stop" not in broker.old[1].told
    broker.old[1].load = Load(draining=Draining(moved=3))
    running.get(timeout=PATIENCE)
    assert (scale.phase, len(broker.hubs)) == ("done", 1)
    assert scale.status()["moved"] == 3
    assert broker.old[1].told[-1] == "stop"
    assert "stop" not in broker.old[0].told


def test_a_home_of_topics_goes_when_others_have_them(broker: Broker) -> None:
    scale, running = broker.begin(1)
    gevent.sleep(0)
    assert broker.drains.progress([broker.old[1]])["left"] == 0
    assert scale.phase == "moving"
    broker.settle()
    running.get(timeout=PATIENCE)
    assert scale.phase == "done"


def test_the_time_may_be_up(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    broker.old[1].moves = False
    broker.old[1].load = Load(connections=3, draining=Draining(left=3, stays={"a handler runs": 3}))
    scale, running = broker.begin(1, 0.01)
    running.get(timeout=PATIENCE)
    assert scale.phase == "done"
    names = ", ".join(f"1-1-{each} (a handler runs)" for each in range(3))
    assert f"scale: 3 connections could not move and are ended: {names}" in caplog.text
    first = [{"id": f"1-1-{each}", "why": "a handler runs"} for each in range(3)]
    assert scale.status()["ended"] == {"count": 3, "first": first}


def test_one_that_starts_is_not_needed_any_more(broker: Broker) -> None:
    broker.members.leave(broker.old[1])
    starting: Any = FakeProcess(1)
    broker.hubs[1].process = starting
    scale, running = broker.begin(1)
    running.get(timeout=PATIENCE)
    assert starting.told == ["kill"]
    assert (scale.phase, len(broker.hubs)) == ("done", 1)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_number_that_cannot_be_changes_nothing(broker: Broker, count: int) -> None:
    with pytest.raises(ConfigError, match=f"1 to 1000 hubs, not {count}"):
        broker.begin(count)
    assert broker.grown == 2
    assert not any(slot.leaving for slot in broker.hubs)


def test_what_the_others_could_not_take_stays(broker: Broker) -> None:
    broker.drains.begin({broker.old[0]: ()})
    with pytest.raises(ConfigError, match="no other hub"):
        broker.begin(1)
    assert not any(slot.leaving for slot in broker.hubs)
    assert not broker.old[1].draining


def test_it_is_abandoned_if_those_that_stay_do_not_serve(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorrpc.broker.deploying.scale.QUICK", 0.0)
    zero, one = broker.old
    one.moves = False
    one.load.connections = 3
    zero.state = "silent"
    scale, running = broker.begin(1, drain_timeout=0.0)
    running.get(timeout=PATIENCE)
    assert scale.phase == "abandoned" and "none of the hubs that stay serves" in scale.error
    assert len(broker.hubs) == 2 and not broker.hubs[1].leaving
    assert (one.exit_code, one.draining, one.held) == (None, False, False)


def test_one_that_was_to_go_and_has_ended_starts_again_if_it_is_abandoned(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actorrpc.broker.deploying.scale.QUICK", 0.0)
    broker = Broker(3)
    broker.old[0].state = "silent"
    scale, running = broker.begin(1, drain_timeout=0.0)
    broker.hubs[2].process = None
    broker.old[2].exit_code = -9
    running.get(timeout=PATIENCE)
    assert scale.phase == "abandoned"
    assert [slot.process for slot in broker.hubs] == [*broker.old[:2], *broker.started]


def test_as_many_as_there_are(broker: Broker) -> None:
    scale, running = broker.begin(2)
    running.get(timeout=PATIENCE)
    assert (scale.phase, broker.started) == ("done", [])


def test_what_another_broker_began_goes_on_though_nobody_is_there_to_take_it(broker: Broker) -> None:
    broker.members.leave(broker.old[0])  # it starts again
    scale = broker.scale(1, 0.0)
    scale.begin(begun=True)
    assert broker.hubs[1].leaving and broker.old[1].draining
    running = gevent.spawn(scale.run)
    gevent.sleep(0)
    assert (scale.phase, broker.old[1].held) == ("moving", True), "it serves on until there is somebody"
    broker.members.join([FakeProcess(0)])
    broker.drains.changed()
    assert not broker.old[1].held
    running.get(timeout=PATIENCE)
    assert (scale.phase, len(broker.hubs)) == ("done", 1)
