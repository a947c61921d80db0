"""What a report is made of, and how few connections it looks at."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from actorrpc.hub.metering.proc import ProcNumber, can_open
from actorrpc.hub.metering.usage import LIGHT, Meter, Usage
from actorrpc.hub.moving.move_cost import Cost
from actorrpc.hub.phase import SERVING
from actorrpc.hub.report import HEAVIEST, OTHERS, WARM, Reporter, Rotation, core_wait
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import serving

Spent = dict[str, float]


class FakeConnection:
    """As much of a connection as a report looks at; it counts how often it is."""

    def __init__(self, meter: Meter, id: str) -> None:
        self.id = id
        self.usage = Usage(meter, id)
        self.cells = FakeCells(self)
        self.phase = FakePhase(self)
        self.schedule = SimpleNamespace(running=0)
        self.calls: dict[int, Any] = {}
        self.host = SimpleNamespace(subscriptions=[], unacknowledged=0, tells=None)
        #: Seconds that a move would cost.
        self.cost = 0.0
        self.looks = 0
        self.weighed = 0

    def weigh(self) -> int:
        self.weighed += 1
        return 7


class FakeCells(dict[str, Any]):
    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection

    @property
    def state_bytes(self) -> int:
        return self._connection.weigh()


class FakePhase:
    def __init__(self, connection: FakeConnection) -> None:
        self._connection = connection

    @property
    def state(self) -> str:
        self._connection.looks += 1
        return SERVING


def _cost(connection: FakeConnection) -> Cost:
    return Cost(connection.cost / 2, connection.cost / 2)


class FakeNode:
    """A hub of so many connections, whose clock the test moves."""

    def __init__(self, connections: int) -> None:
        self.now = 100.0
        self.meter = Meter(lambda: self.now, lambda: 0.0)
        self.connections: dict[str, FakeConnection] = {}
        for number in range(connections):
            self.add(f"0-1-{number}")
        self.reporter = Reporter(self.meter, self.connections, None, _cost, 0.05)  # type: ignore[arg-type]

    def add(self, id: str) -> None:
        self.connections[id] = FakeConnection(self.meter, id)

    def forget(self, id: str) -> None:
        self.connections.pop(id).usage.close()

    def spend(self, spent: Spent) -> None:
        for id, seconds in spent.items():
            usage = self.connections[id].usage
            mark = usage.begin(self.now)
            self.now += seconds
            usage.spend(mark)

    def report(self) -> Any:
        self.now += 0.25
        return self.reporter.report(5, None)

    @property
    def looks(self) -> int:
        return sum(connection.looks for connection in self.connections.values())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports go by the clock of their node, and the thread has had its core."""
    monkeypatch.setattr("actorrpc.hub.report.core_wait", lambda _: 0.0)


pytestmark = pytest.mark.usefixtures("clock")


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open no more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def names(rows: Any) -> list[str]:
    return [row.id for row in rows]


def test_the_heaviest_come_first_and_no_more_than_so_many() -> None:
    node = FakeNode(100)
    node.spend({f"0-1-{number}": 0.001 * (number + 1) for number in range(80)})
    report = node.report()
    assert names(report.heaviest) == [f"0-1-{number}" for number in range(79, 79 - HEAVIEST, -1)]
    loads = [row.load for row in report.heaviest]
    assert loads == sorted(loads, reverse=True) and loads[-1] > 0
    assert (report.connections, report.turns) == (100, 5)


def test_light_connections_are_not_looked_at() -> None:
    node = FakeNode(1000)
    node.spend(dict.fromkeys(node.connections, LIGHT / 2))
    report = node.report()
    assert list(report.heaviest) == [] and node.reporter.touched == 0
    assert node.looks == len(report.others) == OTHERS
    node.spend({"0-1-3": LIGHT})  # now it is worth it
    assert names(node.report().heaviest) == ["0-1-3"]


@pytest.mark.parametrize("idle", [0, 2000])
def test_the_work_and_the_size_of_a_report_do_not_depend_on_idle_connections(idle: int) -> None:
    node = FakeNode(50 + idle)
    for _ in range(8):
        node.spend({f"0-1-{number}": 0.001 for number in range(50)})
        before = node.looks
        size = len(node.report().SerializeToString())
        assert node.reporter.touched <= 50 + OTHERS
        assert node.looks - before <= HEAVIEST + OTHERS
        assert size < 4096


def test_who_worked_lately_is_remembered_until_it_is_cold() -> None:
    node = FakeNode(WARM * 2)
    node.spend(dict.fromkeys(node.connections, 0.01))
    node.report()
    assert len(node.reporter._warm) == WARM
    assert len(node.report().heaviest) == HEAVIEST  # while nothing happens
    for _ in range(400):
        node.report()
    assert node.reporter._warm == []


def test_the_averages_of_a_report_are_of_its_interval() -> None:
    node = FakeNode(1)
    for _ in range(80):
        node.spend({"0-1-0": 0.05})
        report = node.report()
    assert report.heaviest[0].load == pytest.approx(0.05 / 0.3, rel=0.01)
    assert report.heaviest[0].recent == pytest.approx(0.05 / 0.3, rel=0.01)
    assert report.heaviest[0].age == pytest.approx(80 * 0.3)


def test_without_reports_the_same_is_settled() -> None:
    told, alone = FakeNode(80), FakeNode(80)
    for at in range(20):
        for node in (told, alone):
            node.spend({f"0-1-{number}": 0.001 * (number % 7 + at % 2) for number in range(80)})
            node.now += 0.25
        told.reporter.report(5, None)
        alone.reporter.settle()
        assert told.meter.active == alone.meter.active == []
    for id in told.connections:
        loads = [node.connections[id].usage.load(node.now) for node in (told, alone)]
        assert loads[0] == pytest.approx(loads[1])
    assert alone.looks == 0


def test_who_has_gone_is_in_no_report() -> None:
    node = FakeNode(3)
    node.spend(dict.fromkeys(node.connections, 0.01))
    node.report()
    node.spend({"0-1-0": 0.01})
    node.forget("0-1-0")
    node.forget("0-1-1")
    report = node.report()
    assert names([*report.heaviest, *report.others]) == ["0-1-2"]


def test_a_connection_that_came_back_is_not_taken_for_the_one_that_left() -> None:
    node = FakeNode(1)
    node.spend({"0-1-0": 0.1})
    node.forget("0-1-0")
    node.add("0-1-0")
    report = node.report()
    assert list(report.heaviest) == [] and report.others[0].load == 0


def test_who_comes_from_another_hub_is_known_at_once() -> None:
    node = FakeNode(1)
    usage = node.connections["0-1-0"].usage
    usage.restore(0.5, 0.25, node.now, node.now - 60)
    node.reporter.remember(usage)
    (row,) = node.report().heaviest
    assert row.load == pytest.approx(0.5, rel=0.05) and row.age == pytest.approx(60.25)


def test_states_are_weighed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(1)
    for _ in range(15):
        node.spend({"0-1-0": 0.01})
        (row,) = node.report().heaviest
        assert row.state_bytes == 7
    assert node.connections["0-1-0"].weighed == 1
    for _ in range(10):
        node.report()
    assert node.connections["0-1-0"].weighed == 2


def test_weighing_takes_no_more_than_its_share() -> None:
    node = FakeNode(HEAVIEST)

    def weigh(connection: FakeConnection) -> int:
        node.now += 0.01
        connection.weighed += 1
        return 32_000_000

    weighing = type("Weighing", (FakeConnection,), {"weigh": weigh})
    for connection in node.connections.values():
        connection.__class__ = weighing
    for _ in range(400):
        node.report()
    taken = 0.01 * sum(connection.weighed for connection in node.connections.values())
    assert 0.1 < taken < 0.004 * (node.now - 100)


def test_who_was_weighed_longest_ago_is_weighed_next() -> None:
    """Heavy ones would be weighed again and again, and the others never."""
    node = FakeNode(3)

    def weigh(connection: FakeConnection) -> int:
        node.now += (
            0.0125 if connection.id == "0-1-0" else 0.005
        )  # all that is allowed in five seconds, or two
        connection.weighed += 1
        return 7

    weighing = type("Weighing", (FakeConnection,), {"weigh": weigh})
    for connection in node.connections.values():
        connection.__class__ = weighing
    for _ in range(200):
        node.spend({"0-1-0": 0.1, "0-1-1": 0.05, "0-1-2": 0.025})
        node.report()
    times = [connection.weighed for connection in node.connections.values()]
    assert min(times) > 1 and max(times) - min(times) <= 1


def test_what_a_move_costs_is_reported_and_why_no_policy_may_make_it() -> None:
    node = FakeNode(3)
    for number, cost in enumerate((0.0008, 0.05, 0.3404)):
        node.connections[f"0-1-{number}"].cost = cost
    node.spend({"0-1-0": 0.003, "0-1-1": 0.002, "0-1-2": 0.001})
    for _ in range(3):
        rows = node.report().heaviest
    assert [round(row.move_ms, 3) for row in rows] == [0.8, 50, 340.4]
    assert [(row.why, row.too_heavy) for row in rows] == [
        ("", False),
        ("", False),
        ("a move would stop its two hubs for 340 ms in all, over 50 ms", True),
    ]
    node.connections["0-1-2"].schedule.running = 1  # what keeps everybody from moving it comes first
    node.spend({"0-1-0": 0.003, "0-1-1": 0.002, "0-1-2": 0.001})
    row = node.report().heaviest[2]
    assert (row.why, row.too_heavy) == ("the handler of a call that has ended still runs", False)


def test_to_ask_what_connections_take_hides_none_from_the_reports() -> None:
    """What is light between two questions may be heavy enough between two reports."""
    with serving(app) as hubs, grpc.insecure_channel(hubs.address) as channel:
        StatefulStub(channel).Unary(Item())
        (node,), usage = hubs.nodes, hubs.connection().usage

        def light_turns_and_questions() -> Any:
            node.report()
            node._reporter._warm.clear()  # as after a while without calls
            for _ in range(4):
                usage.spend(usage.begin(node.resources.meter.clock() - 0.7 * LIGHT))
                (row,) = node.list_connections()
                assert row.id == usage.id and row.load > 0
            return node.report()

        assert names(hubs.ask(light_turns_and_questions).heaviest) == [usage.id]


# ---- the rotation


def test_the_rotation_shows_everybody_in_turn() -> None:
    rotation, present = Rotation(), dict.fromkeys("abcdefg")
    rounds = [rotation.take(3, present, 10) for _ in range(7)]
    assert all(len(ids) == len(set(ids)) == 3 for ids in rounds)
    assert sorted(chain(*rounds)) == sorted("abcdefg" * 3)


def test_the_rotation_survives_changes() -> None:
    rotation, present = Rotation(), dict.fromkeys("abcd")
    seen = rotation.take(2, present, 10)
    for id in present.keys() - set(seen):
        del present[id]
    present["new"] = None
    assert rotation.take(2, present, 10)[0] in present
    assert "new" in [*rotation.take(3, present, 10), *rotation.take(3, present, 10)]
    assert rotation.take(3, {}, 10) == []


def test_the_rotation_gives_up_on_many_that_have_gone() -> None:
    rotation, present = Rotation(), dict.fromkeys(map(str, range(1000)))
    rotation.take(1, present, 10)
    assert rotation.take(1, {"new": None}, 10) == []
    assert len(rotation._left) == 989


def test_the_wait_for_a_core_only_grows() -> None:
    schedstat = ProcNumber("/proc/thread-self/schedstat", 1)
    before = core_wait(schedstat)
    assert core_wait(schedstat) >= before >= 0


def test_a_hub_without_descriptors_still_reports() -> None:
    node = FakeNode(1)
    with no_descriptors():
        assert not can_open()
        assert node.report().memory > 1_000_000
    assert can_open()


def test_what_cannot_be_read_is_taken_for_what_it_was() -> None:
    assert ProcNumber("/proc/no-such-file", 0).read() == 0
    number = ProcNumber("/proc/self/statm", 1)
    last = number.read()
    number._field = 99
    assert number.read() == last > 0
