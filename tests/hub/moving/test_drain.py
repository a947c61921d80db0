"""A drain: what moves, how fast and where to, and what stays and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc.hub.moving import drain as module
from actorrpc.hub.moving.drain import AT_ONCE, BUDGET, HEAVY, LONGEST_WAIT, NAMED, ROUND, SOON, Drain
from actorrpc.hub.moving.move_cost import Cost
from actorrpc.hub.phase import CLOSING
from actorrpc.pb.control_pb2 import MoveResult
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE

MOVED = MoveResult(outcome=MoveResult.MOVED)
CHEAP = Cost(BUDGET / 100, BUDGET / 100)


class Clock:
    """The time, which passes when the test says so, and then the timers that are due go off."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[FakeTimer] = []

    def timer(self) -> FakeTimer:
        self.timers.append(timer := FakeTimer(self))
        return timer

    def pass_(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.due is not None and timer.due <= end]:
            first = min(due, key=lambda timer: timer.due or 0.0)
            self.now, first.due = first.due or 0.0, None
            first.function()
            settle()
        self.now = end
        settle()


class FakeTimer:
    function: Callable[[], object]

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.due: float | None = None
        self.active = False

    def set(self, seconds: float, function: Callable[[], object]) -> None:
        self.due, self.function, self.active = self._clock.now + seconds, function, True

    def stop(self) -> None:
        self.due, self.active = None, False


def settle() -> None:
    """What was left to the loop is done."""
    for _ in range(3):
        gevent.sleep(0)


class World:
    """A hub's connections, the moves that are under way, and links to three other processes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.connections: dict[str, Any] = {}
        self.costs: dict[str, Cost] = {}
        self.links: dict[int, object] = dict.fromkeys((7, 8, 9))
        #: By connection: where it is to go, and who is told what came of it.
        self.moving: dict[str, tuple[int, Callable[[MoveResult], None]]] = {}
        self.asked: list[tuple[str, int]] = []
        #: Connections that a process would refuse.
        self.unfit: set[tuple[str, int]] = set()

    def add(self, *ids: str, cost: Cost = CHEAP) -> None:
        for id in ids:
            phase = SimpleNamespace(state=None)
            host = SimpleNamespace(unacknowledged=0, tells=None, subscriptions=())
            schedule = SimpleNamespace(running=False)
            self.connections[id] = SimpleNamespace(
                id=id, phase=phase, calls={}, cells={}, host=host, schedule=schedule
            )
            self.costs[id] = cost

    def run(self, id: str, seconds: float) -> None:
        """A handler of it has run for so long."""
        route = SimpleNamespace(method=SimpleNamespace(name="Long"))
        self.connections[id].calls[1] = SimpleNamespace(
            iterator=None,
            runner=object(),
            since=self.clock.now - seconds,
            receiver=SimpleNamespace(admits=False),
            route=route,
        )

    def begin(self, targets: dict[int, int] | None = None) -> Drain:
        drain = Drain(
            self.connections,
            self._move,
            lambda connection: self.costs[connection.id],
            self.links,
            {7: 0} if targets is None else targets,
            within=-1.0,  # it is late, and so does not rest: test_drain_pace shows what rests are
            why_unfit=lambda connection, target: "it is old" * ((connection.id, target) in self.unfit),
        )
        settle()
        return drain

    def _move(self, id: str, target: int, done: Callable[[MoveResult], None]) -> None:
        self.asked.append((id, target))
        self.moving[id] = (target, done)

    def end(self, id: str, result: MoveResult = MOVED) -> None:
        _, done = self.moving.pop(id)
        if result.outcome == MoveResult.MOVED:
            del self.connections[id]
        done(result)
        settle()

    def abort(self, id: str, why: str = "a handler runs") -> None:
        self.end(id, MoveResult(outcome=MoveResult.ABORTED, why=why))

    def end_all(self) -> list[str]:
        """Let all moves end, and those that follow. Returns where they went, in order."""
        before = len(self.asked)
        while self.moving:
            self.end(next(iter(self.moving)))
        return [id for id, _ in self.asked[before:]]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "Timer", clock.timer)
    monkeypatch.setattr(module, "monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock)


# ---- the pace


def test_a_few_move_at_a_time_and_all_move(world: World) -> None:
    world.add(*"abcdefghij")
    drain = world.begin()
    assert list(world.moving) == ["a", "b", "c", "d"]
    assert len(world.moving) == AT_ONCE
    world.end("b")
    assert list(world.moving) == ["a", "c", "d", "e"], "one ends, another begins"
    world.end_all()
    assert [id for id, _ in world.asked] == [*"abcdefghij"], "each once"
    report = drain.report()
    assert (report.left, report.moved, dict(report.stays)) == (0, 10, {})


def test_together_they_cost_no_more_than_the_budget(world: World) -> None:
    world.add("a", "b", "c", cost=Cost(BUDGET / 5, BUDGET / 5))
    world.begin()
    assert list(world.moving) == ["a", "b"]
    world.end("a")
    assert list(world.moving) == ["b", "c"]


def test_a_heavy_one_moves_alone_and_the_hub_rests_as_long_as_its_freeze_took(world: World) -> None:
    heavy = Cost(0.3, 0.3)
    world.add("a")
    world.add("b", cost=heavy)
    world.add("c")
    world.begin()
    assert list(world.moving) == ["a"]
    world.end("a")
    assert list(world.moving) == ["b"], "whatever it costs: all are to go"
    world.end("b")
    assert not world.moving
    world.clock.pass_(0.29)
    assert not world.moving, "it rests"
    world.clock.pass_(0.02)
    assert list(world.moving) == ["c"]


def test_light_ones_need_no_rest(world: World) -> None:
    world.add(*"abcde", cost=Cost(HEAVY / 2, 0.0))
    world.begin()
    world.end_all()
    assert not world.connections, "without that any time has passed"


# ---- where they go


def test_each_goes_to_who_has_fewest(world: World) -> None:
    world.add(*"abcdef")
    world.begin({7: 2, 8: 0, 9: 3})
    while world.moving:
        world.end(next(iter(world.moving)))
    targets = [target for _, target in world.asked]
    assert targets == [8, 8, 8, 8, 8, 7], "of four under way none has arrived"


def test_a_target_without_a_link_gets_none(world: World) -> None:
    del world.links[7]
    world.add("a")
    world.begin({7: 0, 8: 100})
    assert world.asked == [("a", 8)]


def test_while_nobody_can_take_them_they_stay_and_say_so(world: World) -> None:
    link = world.links.pop(7)
    world.add("a", "b")
    drain = world.begin({7: 0})
    assert not world.moving
    assert dict(drain.report().stays) == {"no hub is there to take it": 2}
    world.links[7] = link
    world.clock.pass_(2 * ROUND)
    world.end_all()
    assert not world.connections


def test_without_targets_all_stay_until_there_are_some(world: World) -> None:
    world.add(*"abcdef")
    drain = world.begin({7: 0})
    drain.retarget({})
    world.end_all()
    began = len(world.asked)
    assert began == AT_ONCE
    assert dict(drain.report().stays) == {"no hub is there to take it": 2}
    assert [each.why for each in drain.left_behind().first] == ["no hub is there to take it"] * 2
    world.add("g")
    world.clock.pass_(5 * ROUND)
    assert len(world.asked) == began, "nothing is even looked at"
    drain.retarget({9: 0})
    world.clock.pass_(ROUND)
    world.end_all()
    assert [target for _, target in world.asked[began:]] == [9, 9, 9]


def test_others_may_become_the_targets(world: World) -> None:
    world.add(*"abcde")
    drain = world.begin({7: 0})
    drain.retarget({9: 0})
    world.end_all()
    assert [target for _, target in world.asked] == [7, 7, 7, 7, 9]


def test_one_that_some_would_refuse_goes_to_another(world: World) -> None:
    world.add(*"ab")
    world.unfit = {("a", 7)}
    drain = world.begin({7: 0, 9: 5})
    assert world.asked == [("a", 9), ("b", 7)]
    world.end_all()
    assert drain.moved == 2


def test_one_that_all_would_refuse_is_told_so_by_its_move(world: World) -> None:
    world.add("a")
    world.unfit = {("a", 7), ("a", 9)}
    world.begin({7: 3, 9: 5})
    assert world.asked == [("a", 7)]


# ---- what cannot move now


def test_what_could_not_move_is_tried_again_later_each_time(world: World) -> None:
    world.add("a")
    drain = world.begin()
    waits = []
    for _ in range(8):
        world.abort("a")
        began = world.clock.now
        assert dict(drain.report().stays) == {"a handler runs": 1}
        while not world.moving:
            world.clock.pass_(ROUND)
        waits.append(world.clock.now - began)
    assert waits[:3] == pytest.approx([0.1, 0.2, 0.4], abs=2 * ROUND)
    assert waits[-1] == pytest.approx(LONGEST_WAIT, abs=2 * ROUND)
    world.end("a")
    assert (drain.moved, dict(drain.report().stays)) == (1, {})


def test_one_that_stays_holds_nobody_up(world: World) -> None:
    world.add(*"abcdefgh")
    world.begin()
    world.abort("a")
    world.end_all()
    assert list(world.connections) == ["a"]


def test_a_handler_that_has_just_begun_may_soon_end(world: World) -> None:
    world.add("a")
    world.run("a", SOON / 2)
    world.begin()
    assert list(world.moving) == ["a"], "its move waits until it ends"


def test_a_handler_that_goes_on_is_not_disturbed(world: World) -> None:
    """To bring its connection to rest would hold up its calls, and come to nothing."""
    world.add("a", "b")
    world.run("a", 2 * SOON)
    drain = world.begin()
    assert list(world.moving) == ["b"]
    assert dict(drain.report().stays) == {"handler Long running": 1}
    world.connections["a"].calls.clear()
    world.clock.pass_(2 * ROUND)
    assert "a" in world.moving


def test_what_keeps_many_is_one_reason(world: World) -> None:
    """However long each of them has been kept."""
    world.add(*"abc")
    for number, id in enumerate("abc"):
        world.run(id, (2 + 3 * number) * SOON)
    drain = world.begin()
    assert dict(drain.report().stays) == {"handler Long running": 3}
    world.clock.pass_(5 * ROUND)
    assert dict(drain.report().stays) == {"handler Long running": 3}


def test_who_is_left_in_the_end_is_told_by_name_but_not_without_bound(world: World) -> None:
    ids = "abcdefghijklmno"
    world.add(*ids)
    world.run("a", 2 * SOON)
    drain = world.begin()
    world.abort("b")
    left = drain.left_behind()
    assert left.count == len(ids)
    whys = {stay.connection: stay.why for stay in left.first}
    assert list(whys) == list(ids)[:NAMED]
    assert whys["a"] == "handler Long running"
    assert whys["b"] == "a handler runs"
    assert (whys["c"], whys["j"]) == ("it was being moved", "its turn had not come")


def test_an_iterable_without_a_cursor_says_so(world: World) -> None:
    world.add("a")
    world.connections["a"].calls[1] = SimpleNamespace(iterator=object(), cursor_set=False, method="/s/M")
    drain = world.begin()
    assert not world.asked
    ((why, count),) = drain.report().stays.items()
    assert (why, count) == ("the iterable that /s/M returned is not exhausted, and sets no call.cursor", 1)


def test_what_is_being_closed_is_left_to_that(world: World) -> None:
    world.add("a")
    world.connections["a"].phase.state = CLOSING
    drain = world.begin()
    assert dict(drain.report().stays) == {"it is being closed": 1}
    del world.connections["a"]
    assert dict(drain.report().stays) == {}, "it has gone"


def test_what_has_gone_meanwhile_is_nobodys_concern(world: World) -> None:
    world.add(*"abcdef")
    drain = world.begin()
    del world.connections["e"]
    del world.connections["a"]
    world.end("a", MoveResult(outcome=MoveResult.UNKNOWN_CONNECTION, why="no connection a here"))
    world.end_all()
    assert (drain.moved, dict(drain.report().stays)) == (4, {})


def test_who_comes_late_moves_too(world: World) -> None:
    world.add("a")
    world.begin()
    world.add("b")
    world.clock.pass_(2 * ROUND)
    assert list(world.moving) == ["a", "b"]


# ---- its end


def test_a_closed_drain_begins_nothing_more(world: World) -> None:
    world.add(*"abcdef")
    drain = world.begin()
    drain.close()
    world.end("a")
    world.abort("b")
    world.clock.pass_(10.0)
    assert [id for id, _ in world.asked] == [*"abcd"]
    assert drain.moved == 1, "one was under way"


# ---- with real hubs


class Waits(StatefulBase):
    state: Tally

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> None:
        self.state.count += 1
        call.send(Item(number=self.state.count))

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.count += 1
        gevent.sleep(request.sleep)
        return Item(number=self.state.count)


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    with serving(actorrpc.App([Waits]), 3) as hubs:
        yield hubs


def test_all_that_a_hub_has_goes_to_others_while_clients_go_on(hubs: Hubs) -> None:
    channels = [
        grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(9)
    ]
    stubs = [StatefulStub(channel) for channel in channels]
    assert [stub.Unary(Item()).number for stub in stubs] == [1] * 9
    hubs.ask(lambda: hubs.nodes[0].draining.drain({1: 0, 2: 0}))
    hubs.wait_for(lambda: not hubs.nodes[0].connections)
    assert [stub.Unary(Item()).number for stub in stubs] == [2] * 9
    counts = hubs.ask(lambda: [len(node.connections) for node in hubs.nodes])
    assert counts[0] == 0 and min(counts[1:]) > 0
    report = hubs.ask(lambda: hubs.nodes[0].report().draining)
    assert (report.left, report.moved, dict(report.stays)) == (0, 9, {})
    for channel in channels:
        channel.close()


def test_a_drained_hub_takes_no_moves_until_that_is_undone(hubs: Hubs) -> None:
    with grpc.insecure_channel(hubs.address) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        hubs.ask(lambda: hubs.nodes[1].draining.drain({2: 0}))
        assert hubs.move(1).why == "hub 1 is being drained"
        hubs.ask(lambda: hubs.nodes[1].draining.drain({}))
        assert not hubs.ask(lambda: hubs.nodes[1].report().HasField("draining"))
        assert hubs.move(1).why == ""
        assert stub.Unary(Item()).number == 2


def test_a_drained_hub_does_not_accept_until_that_is_undone(hubs: Hubs) -> None:
    hubs.ask(lambda: hubs.nodes[0].draining.drain({1: 0}))
    with RawClient(hubs.address), grpc.insecure_channel(hubs.address) as channel:
        rounds: list[int] = []  # of the loop, which would have seen what the kernel has connected
        hubs.wait_for(lambda: rounds.append(1) or len(rounds) > 5)
        assert hubs.ask(lambda: hubs.nodes[0].expected) == 0
        coming = StatefulStub(channel).Unary.future(Item(), wait_for_ready=True, timeout=PATIENCE)
        hubs.ask(lambda: hubs.nodes[0].draining.drain({}))
        assert coming.result().number == 1
        hubs.wait_for(lambda: len(hubs.nodes[0].connections) == 2)


def test_a_handler_that_runs_keeps_its_connection_until_it_has_ended(hubs: Hubs) -> None:
    with grpc.insecure_channel(hubs.address) as channel:
        stub = StatefulStub(channel)
        running = stub.Unary.future(Item(sleep=1.5), timeout=PATIENCE)
        hubs.wait_for(lambda: any(each.calls for each in hubs.nodes[0].connections.values()))
        hubs.ask(lambda: hubs.nodes[0].draining.drain({1: 0}))
        stays = hubs.wait_for(lambda: dict(hubs.nodes[0].report().draining.stays))
        assert any("Unary running" in why for why in stays)
        assert running.result().number == 1
        hubs.wait_for(lambda: hubs.nodes[1].connections)
        assert stub.Unary(Item()).number == 2
