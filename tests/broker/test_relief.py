"""What leaves a hub that has too much memory: how much, how fast, and what when it does not help."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from actorrpc.balancing.view import HubLoad, Move
from actorrpc.broker.moves.relief import CONNECTION, GROWTH, LOW, MOVES, SETTLED, Relief
from actorrpc.pb.control_pb2 import ConnectionLoad, Load

MB = 2**20
LIMIT = 100 * MB


@dataclass
class FakeHub:
    """A hub's process: connections with states of so many bytes, and what else it has."""

    hub: int
    states: dict[str, int] = field(default_factory=dict)
    rest: int = 50 * MB
    over: bool = False
    #: Whether what leaves is freed.
    frees: bool = True
    stuck: int = 0
    serving: bool = True
    stale: float = 0.0

    @property
    def memory(self) -> int:
        return self.rest + self.stuck + sum(self.states.values()) + CONNECTION * len(self.states)

    def report(self) -> tuple[Load, HubLoad]:
        self.over = self.memory > LIMIT or (self.over and self.memory >= LOW * LIMIT)
        largest = sorted(self.states.items(), key=lambda item: item[1], reverse=True)[:16]
        rows = [ConnectionLoad(id=id, state_bytes=size) for id, size in largest]
        room = 0 if self.memory > LOW * LIMIT else None
        load = Load(memory=self.memory, over_memory=self.over, largest=rows if self.over else [])
        return load, HubLoad(
            self.hub, 0.5, len(self.states), room=room, serving=self.serving, stale=self.stale
        )


class World:
    """Hubs, and a broker that plans twice a second; each move is over before the next plan."""

    def __init__(self, *hubs: FakeHub) -> None:
        self.hubs = {hub.hub: hub for hub in hubs}
        self.relief = Relief(LIMIT)
        self.now = 1000.0
        self.moves: list[tuple[float, Move]] = []

    def plan(self) -> list[Move]:
        reports = [hub.report() for hub in self.hubs.values()]
        moves = self.relief.plan(self.now, reports, ())
        for move in moves:
            self.moves.append((self.now, move))
            source = self.hubs[move.source]
            size = source.states.pop(move.connection)
            self.hubs[move.target].states[move.connection] = size
            if not source.frees:
                source.stuck += size + CONNECTION
        self.now += 0.5
        return moves

    def run(self, seconds: float) -> None:
        for _ in range(int(2 * seconds)):
            self.plan()


def many(hub: int, count: int, size: int) -> dict[str, int]:
    return {f"{hub}-1-{number}": size for number in range(count)}


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "actorrpc.broker")


def test_nobody_moves_below_the_limit() -> None:
    world = World(FakeHub(0, many(0, 45, MB)), FakeHub(1))
    world.run(60)
    assert world.moves == []


def test_the_largest_leave_first_some_at_a_time_until_it_is_well_below() -> None:
    states = many(0, 40, MB) | {"0-1-large": 8 * MB, "0-1-larger": 9 * MB}
    world = World(FakeHub(0, states), FakeHub(1))
    first = world.plan()
    assert [move.connection for move in first[:2]] == ["0-1-larger", "0-1-large"]
    assert all((move.source, move.target) == (0, 1) for move in first)
    assert first[0].reason == "hub 0 has 108.6 MiB, over --max-memory of 100.0 MiB"
    world.run(60)
    assert all(len([at for at, _ in world.moves if at == now]) <= MOVES for now, _ in world.moves)
    zero, one = world.hubs.values()
    assert not zero.over
    assert zero.memory >= 0.7 * LIMIT, "no more than it had too much, by far"
    assert one.memory <= LOW * LIMIT
    moved = len(world.moves)
    world.run(600)
    assert len(world.moves) == moved, "and then there is peace"


def test_no_hub_gets_more_than_it_has_room_for() -> None:
    zero = FakeHub(0, many(0, 80, MB))
    world = World(zero, FakeHub(1, rest=85 * MB), FakeHub(2, rest=70 * MB), FakeHub(3, rest=95 * MB))
    world.run(600)
    assert {move.target for _, move in world.moves} == {1, 2}
    for hub in (1, 2):
        assert world.hubs[hub].memory <= LOW * LIMIT
        assert not world.hubs[hub].over


def test_what_was_sent_counts_before_it_is_reported() -> None:
    relief = Relief(LIMIT)
    zero, one = FakeHub(0, many(0, 60, 2 * MB)), FakeHub(1, rest=int(LOW * LIMIT) - 5 * GROWTH * 2 * MB)
    reports = [zero.report(), one.report()]
    sent: set[str] = set()
    for step in range(10):  # the same old reports each time
        moves = relief.plan(100.0 + 0.5 * step, reports, sent)
        sent |= {move.connection for move in moves}
    assert len(sent) == 4, "with what a connection takes beside its state, no fifth"


def test_a_state_that_fits_nowhere_stays_and_smaller_ones_go() -> None:
    world = World(FakeHub(0, {"0-1-huge": 60 * MB, "0-1-small": MB}), FakeHub(1, rest=30 * MB))
    assert [move.connection for move in world.plan()] == ["0-1-small"]


@pytest.mark.parametrize("change", [{"serving": False}, {"stale": 3.0}])
def test_a_hub_that_is_not_heard_neither_gives_nor_gets(change: dict[str, float]) -> None:
    for hub in (0, 1):
        world = World(FakeHub(0, many(0, 60, MB)), FakeHub(1))
        for name, value in change.items():
            setattr(world.hubs[hub], name, value)
        assert world.plan() == []


def test_who_is_under_way_or_cannot_move_is_left_alone() -> None:
    load, hub = FakeHub(0, {"0-1-a": 30 * MB, "0-1-b": 20 * MB, "0-1-c": 10 * MB}).report()
    load.largest[1].why = "handler Unary running"
    moves = Relief(LIMIT).plan(100.0, [(load, hub), FakeHub(1, rest=0).report()], {"0-1-a"})
    assert [move.connection for move in moves] == ["0-1-c"]


def test_what_does_not_help_is_tried_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """A library of the app has the memory, or the allocator does not give it back."""
    zero = FakeHub(0, many(0, 1000, MB // 20), rest=60 * MB, frees=False)
    world = World(zero, FakeHub(1, rest=0), FakeHub(2, rest=0), FakeHub(3, rest=0))
    world.run(3600)
    rounds = [
        later - earlier for (earlier, _), (later, _) in pairwise(world.moves) if later - earlier > SETTLED / 2
    ]
    assert len(rounds) <= 8
    assert all(later > 1.5 * earlier for earlier, later in pairwise(rounds[:5]))
    told = [text for text in caplog.messages if "the next try is in" in text]
    assert len(told) == len(set(told)) >= 4
    assert told[0].startswith("hub 0 was to move states of ")
    assert told[0].endswith("the next try is in 20 s")


def test_where_all_have_too_much_it_is_said_once_and_nothing_moves(caplog: pytest.LogCaptureFixture) -> None:
    world = World(*(FakeHub(hub, many(hub, 60, MB)) for hub in range(3)))
    world.run(600)
    assert world.moves == []
    assert caplog.messages == [
        "all hubs are over --max-memory: nothing moves, and each serves what comes to it"
    ]
    world.hubs[2].states.clear()
    world.plan()
    assert world.moves, "it goes on by itself"
    for hub in world.hubs.values():
        hub.states.clear()
    world.plan()
    for hub in world.hubs.values():
        hub.rest = 2 * LIMIT
    world.run(10)
    assert len([text for text in caplog.messages if text.startswith("all hubs")]) == 2, "it began anew"


def test_where_the_others_are_nearly_full_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    world = World(FakeHub(0, many(0, 60, MB)), FakeHub(1, rest=int(0.95 * LIMIT)))
    world.run(60)
    assert world.moves == []
    assert caplog.messages == ["hub 0 is over --max-memory, and no other has room for what it has"]
