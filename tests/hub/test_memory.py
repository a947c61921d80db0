"""What a hub with too much memory tells: which of its connections have the largest states, and can move."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from actorrpc.hub import memory as module
from actorrpc.hub.memory import LARGEST, Largest, Memory
from actorrpc.hub.phase import CLOSING, SERVING
from actorrpc.pb import control_pb2


class FakeConnection:
    """A connection whose states have so many bytes, which is known once it has been weighed."""

    def __init__(self, id: str, size: int) -> None:
        self.id = id
        self.size = size
        self.usage = SimpleNamespace(state_bytes=0, too_heavy="")
        self.phase = SimpleNamespace(state=SERVING)
        self.calls: dict[int, Any] = {}
        self.cells: dict[str, Any] = {}
        self.schedule = SimpleNamespace(running=0)
        self.host = SimpleNamespace(subscriptions=[], unacknowledged=0, tells=None)


class House:
    """A hub of connections, the clock of which goes on when one is weighed."""

    def __init__(self, sizes: list[int], seconds: float = 0.0) -> None:
        self.connections: dict[str, Any] = {
            str(number): FakeConnection(str(number), size) for number, size in enumerate(sizes)
        }
        self.now = 0.0
        self.weighed: list[str] = []
        self._seconds = seconds
        self.largest = Largest(self.connections, self._weigh, lambda: self.now)

    def _weigh(self, connection: Any) -> None:
        self.weighed.append(connection.id)
        self.now += self._seconds
        connection.usage.state_bytes = connection.size

    def look(self) -> list[int]:
        return [connection.usage.state_bytes for connection in self.largest.look()]


def test_the_largest_come_first_and_no_more_than_so_many() -> None:
    house = House(list(range(100)))
    assert house.look() == list(range(99, 99 - LARGEST, -1))


def test_all_are_seen_in_time_some_at_each_look() -> None:
    house = House([0] * 5000 + [7] + [0] * 4999)
    looks = 1
    while house.look()[0] != 7:
        looks += 1
        assert looks <= 20, "500 at each"
    assert len(house.weighed) <= looks * (500 + LARGEST)


def test_where_weighing_takes_long_fewer_are_seen_but_all_in_their_turn() -> None:
    house = House([1] * 1000, seconds=0.001)
    for _ in range(200):
        before = house.now
        house.look()
        assert house.now - before <= 0.002 + (LARGEST + 20) * 0.001 + 1e-9
    assert len(set(house.weighed)) == 1000


def test_what_cannot_move_is_not_named_and_the_next_is() -> None:
    house = House([10, 20, 30, 40, 50])
    house.connections["4"].usage.too_heavy = "a move would stop its two hubs for 340 ms"
    house.connections["3"].phase.state = CLOSING
    house.connections["2"].schedule.running = 1
    assert house.look() == [20, 10]
    house.connections["2"].schedule.running = 0
    assert house.look() == [30, 20, 10]


def test_who_has_gone_is_forgotten_and_who_grows_comes_first() -> None:
    house = House([10, 20, 30])
    house.look()
    del house.connections["2"]
    house.connections["0"].size = 50
    assert house.look() == [50, 20]


class Limit:
    """Says what the test wants."""

    def __init__(self) -> None:
        self.over = False

    def look(self, memory: int) -> int:
        return memory + 1


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    limit = Limit()
    monkeypatch.setattr(module, "MemoryLimit", lambda *_: limit)
    return limit


def test_a_report_says_whether_it_is_too_much_and_names_connections_only_then(limit: Limit) -> None:
    house = House([10, 20])
    changes: list[bool] = []

    def describe(connection: Any) -> control_pb2.ConnectionLoad:
        return control_pb2.ConnectionLoad(id=connection.id, state_bytes=connection.usage.state_bytes)

    memory = Memory(1, house.largest, describe, changes.append)
    report = control_pb2.Load(memory=5)
    memory.tell(report)
    assert (report.memory, report.over_memory, list(report.largest)) == (6, False, [])
    assert house.weighed == []
    assert changes == []
    looking = limit.look

    def begins(found: int) -> int:
        limit.over = True
        return looking(found)

    limit.look = begins  # type: ignore[method-assign]
    memory.tell(report)
    assert (report.over_memory, [row.id for row in report.largest]) == (True, ["1", "0"])
    assert changes == [True]
    memory.tell(control_pb2.Load())
    assert changes == [True], "not each time"

    def ends(found: int) -> int:
        limit.over = False
        return looking(found)

    limit.look = ends  # type: ignore[method-assign]
    report = control_pb2.Load()
    memory.tell(report)
    assert (report.over_memory, list(report.largest), changes) == (False, [], [True, False])
    memory.close()
