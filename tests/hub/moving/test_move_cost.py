"""What a move will cost is told by what travels. A policy's is refused where that is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actorrpc
from actorrpc.config import Config
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.departure import Departure, resume
from actorrpc.hub.moving.move_cost import Contents, Cost, MoveCosts, Pace, price, too_long
from actorrpc.hub.moving.snapshot import freeze
from actorrpc.pb.snapshot_pb2 import ConnectionSnapshot
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient


class Quiet(StatefulBase):
    """Its calls stay open, and nothing is sent on them."""

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> None:
        pass

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> None:
        self.subscribe(request.text, call)

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.notes.append(request.text)
        return Item()

    def on_topic(self, topic: str, message: Item) -> None:
        pass

    def on_call_end(self, call: actorrpc.Call[Item], status: actorrpc.StatusCode, message: str) -> None:
        pass


QUIET = actorrpc.App([Quiet], identity=lambda call: str(call.metadata.get("user", "")))


def head(stream: int, method: str, *extra: tuple[str, str]) -> bytes:
    path = f"/shapes.Stateful/{method}"
    fields = [(name, path if name == ":path" else value) for name, value in raw.request(method, *extra)]
    return raw.headers(stream, fields)


class Rig:
    """A connection that a test feeds as a client would, in the hubs' loop, and takes apart."""

    def __init__(self, hubs: Hubs, client: RawClient) -> None:
        self.hubs = hubs
        self.client = client
        self.stream = -1

    @property
    def connection(self) -> Any:
        return next(each for node in self.hubs.nodes for each in node.connections.values())

    def feed(self, data: bytes) -> None:
        self.connection.on_bytes(data)

    def call(self, method: str, *extra: tuple[str, str]) -> Any:
        self.stream += 2
        self.feed(head(self.stream, method, *extra))
        return self.connection.calls.get(self.stream)

    def open(self, method: str = "Talk") -> int:
        """The stream of a new call."""
        self.call(method)
        return self.stream

    def end(self, count: int) -> None:
        """Calls that handlers have begun end, and what the actor is to be told of them waits."""
        self.connection.schedule.paused = False
        for _ in range(count):
            self.feed(raw.data(self.open(), _message(1)))
        self.connection.schedule.paused = True
        for stream in list(self.connection.calls):
            self.feed(raw.frame(raw.RST_STREAM, 0, stream, bytes(4)))

    def step(self, step: Callable[[Rig, int], object], number: int, waiting: bool) -> None:
        """Do it; ``waiting``: what comes of it waits."""
        self.connection.schedule.paused = waiting
        step(self, number)

    def recount(self) -> Contents:
        """What a snapshot has in it."""
        connection = self.connection
        snapshot = ConnectionSnapshot.FromString(freeze(connection, MoveCosts()))
        resume(connection)
        session, ended = snapshot.session, [each for actor in snapshot.actors for each in actor.ended]
        calls = [*snapshot.calls, *(each.call for each in ended)]
        turns = [turn for actor in snapshot.actors for turn in [*actor.mailbox, *actor.concurrent]]
        heads = [each.split(b"\0") for each in [*session.heads, *(each.head for each in ended)]]
        return Contents(
            calls=len(calls),
            heads=len(heads),
            fields=sum(len(each) // 2 for each in heads),
            entries=sum(len(call.context) for call in calls),
            metadata=sum(len(call.initial_metadata) + len(call.trailing_metadata) for call in calls) // 2,
            held=sum(len(call.held) + call.held_end for call in calls),
            turns=len(turns),
            cells=len(snapshot.actors),
            subscriptions=len(snapshot.subscriptions),
            bytes=sum(len(text) + 1 for each in heads for text in each)
            + sum(len(stream.partial_message) + len(stream.unsent) for stream in session.streams)
            + sum(len(turn.payload) for turn in turns)
            + sum(len(payload) for call in calls for payload in call.held)
            + sum(len(call.cursor) + len(call.origin.payload) + len(call.request) for call in calls)
            + sum(len(entry.text) + len(entry.data) for call in calls for entry in call.context),
        )

    def check(self) -> None:
        """What is counted is what travels."""
        for cell in self.connection.cells.values():
            cell.drop_ended()  # as a freeze does: turns of calls that have ended stay behind
        counted, found = contents(self.connection), self.recount()
        for name in (
            "calls",
            "heads",
            "fields",
            "entries",
            "metadata",
            "held",
            "turns",
            "cells",
            "subscriptions",
        ):
            assert getattr(counted, name) == getattr(found, name), (name, counted, found)
        # With what a waiting message is counted beside its own bytes, and the names of nothing but that.
        slack = 64 * (counted.turns + counted.held + counted.calls) + 2 * counted.fields + 64
        assert abs(counted.bytes - found.bytes) <= slack, (counted, found)


@pytest.fixture(scope="module")
def quiet() -> Iterator[Hubs]:
    with serving(QUIET, 2, max_move_time=0.05) as hubs:
        yield hubs


def greeted(hubs: Hubs) -> None:
    """Wait until the client's first bytes are there."""
    hubs.wait_for(lambda: [c for node in hubs.nodes for c in node.connections.values() if c.session.greeted])


def _message(size: int) -> bytes:
    return raw.message(Item(body=bytes(size)).SerializeToString())


def _each(count: int, what: object = "") -> dict[str, str]:
    return {f"key-{number}": f"{what}{'v' * number}" for number in range(count)}


#: What comes, and how much of it.
STEPS: dict[str, Callable[[Rig, int], object]] = {
    "a call like others": lambda rig, n: rig.call("Talk"),
    "a call of its own": lambda rig, n: rig.call("Talk", *_each(n, rig.stream).items()),
    "a user's call": lambda rig, n: rig.call("Talk", ("user", f"u{n}")),
    "messages": lambda rig, n: rig.feed(raw.data(rig.open(), _message(n) * 3)),
    "half a message": lambda rig, n: rig.feed(raw.data(rig.open(), _message(n)[:-1])),
    "notes on a call": lambda rig, n: rig.call("Talk").context.update(_each(n)),
    "metadata": lambda rig, n: rig.call("Talk").set_trailing_metadata(_each(n)),
    "a cursor": lambda rig, n: setattr(rig.call("Talk"), "cursor", bytes(n)),
    "subscriptions": lambda rig, n: rig.feed(raw.data(rig.open("Listen"), _message(n), raw.END_STREAM)),
    "ends that wait": lambda rig, n: rig.end(n),
    "a reset": lambda rig, n: rig.feed(raw.frame(raw.RST_STREAM, 0, rig.open(), bytes(4))),
}


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([*STEPS, "a move"]), st.integers(0, 40), st.booleans()), max_size=15
    )
)
def test_what_is_counted_is_what_travels(quiet: Hubs, steps: list[tuple[str, int, bool]]) -> None:
    try:
        with RawClient(quiet.address) as client:
            rig = Rig(quiet, client)
            greeted(quiet)
            for step in steps:
                take(rig, *step)
                quiet.ask(rig.check)
    finally:
        quiet.wait_for(lambda: not any(node.connections for node in quiet.nodes))


def take(rig: Rig, what: str, number: int, waiting: bool) -> None:
    if what != "a move":
        rig.hubs.ask(lambda: rig.step(STEPS[what], number, waiting))
        return
    there = next(node for node in rig.hubs.nodes if not node.connections)
    result = rig.hubs.move(there.hub)
    assert result.outcome == result.MOVED, result
    rig.hubs.wait_for(lambda: there.connections)


def test_calls_whose_end_is_to_be_told_count() -> None:
    """They are open no more, and travel until their actor has heard of them."""
    with serving(QUIET, 2) as hubs, RawClient(hubs.address) as client:
        rig = Rig(hubs, client)
        greeted(hubs)
        hubs.ask(lambda: rig.end(5))
        assert hubs.ask(lambda: contents(rig.connection)).calls == 5
        assert not hubs.connection().calls
        hubs.ask(rig.check)


def test_what_is_in_it_has_its_price() -> None:
    """Whatever is more costs more, both hubs."""
    names = [name for name in Contents.__slots__ if name != "weighing"]
    least = price(Contents())
    assert 0 < least.total < 0.002
    for name in names:
        more = price(Contents(**{name: 1000}))
        assert more.freeze > least.freeze and more.thaw > least.thaw, name
    assert (
        price(Contents(state_bytes=10**6, weighing=0.05)).total
        > price(Contents(state_bytes=10**6)).total + 0.1
    )


def test_the_case_that_is_to_be_seen() -> None:
    """A thousand calls with 400 header fields each: over the limit; with the same head they are not."""
    limit = Config().max_move_time
    large = Contents(calls=1000, heads=1000, fields=400_000, bytes=3_000_000, cells=1)
    why = too_long(price(large), limit)
    assert why.startswith("a move would stop its two hubs for ") and why.endswith(" ms in all, over 50 ms")
    assert too_long(price(Contents(calls=1000, heads=1, fields=400, bytes=3000, cells=1)), limit) == ""
    assert too_long(price(large), 0) == ""


def test_a_hub_learns_how_fast_it_is() -> None:
    pace = Pace()
    assert pace.factor == 1
    pace.learn(0.0005, 0.1)  # too little to tell
    assert pace.factor == 1
    for _ in range(100):
        pace.learn(0.01, 0.02)
    assert 1.9 < pace.factor <= 2
    for _ in range(100):
        pace.learn(0.01, 0.005)
    assert 0.5 <= pace.factor < 0.8
    for _ in range(100):
        pace.learn(0.01, 60.0)  # an __init__ that takes what it likes
    assert 3.5 < pace.factor <= Pace.MOST


def test_both_paces_count() -> None:
    costs = MoveCosts()
    for _ in range(1000):
        costs.freezing.learn(0.1, 0.2)
        costs.thawing.learn(0.1, 0.05)
    freeze, thaw = costs.by_pace(Cost(1.0, 1.0))
    assert (freeze, thaw) == (pytest.approx(2, rel=0.1), pytest.approx(0.5, rel=0.2))


def test_moves_teach_their_hubs() -> None:
    with serving(QUIET, 2) as hubs, RawClient(hubs.address) as client:
        rig = Rig(hubs, client)
        greeted(hubs)
        hubs.ask(lambda: [rig.call("Talk") for _ in range(300)])
        assert hubs.move(1).outcome == 0
        source, target = (node.mover.costs for node in hubs.nodes)
        assert source.freezing.factor != 1 and source.thawing.factor == 1
        assert target.thawing.factor != 1 and target.freezing.factor == 1


# ---- what is refused

WHY = "a move would stop its two hubs for 340 ms in all, over 50 ms"


class Heavy:
    """A connection whose move costs what the test says, in seconds."""

    def __init__(self, hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hubs = hubs
        self.cost = 0.34
        self.id = hubs.connection().id
        monkeypatch.setattr(MoveCosts, "by_pace", lambda _, cost: Cost(self.cost / 2, self.cost / 2))

    def move(self, **by: bool) -> Any:
        """Have it moved to hub 1, and wait for the outcome."""
        results: list[Any] = []
        self.hubs.ask(lambda: self.hubs.nodes[0].mover.move(self.id, 1, results.append, **by))
        return self.hubs.wait_for(lambda: results and results[0])

    @property
    def row(self) -> Any:
        return self.hubs.ask(lambda: next(row for node in self.hubs.nodes for row in node.list_connections()))


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heavy]:
    with serving(app, 2) as hubs, grpc.insecure_channel(hubs.address) as channel:
        StatefulStub(channel).Unary(Item())
        yield Heavy(hubs, monkeypatch)
        assert StatefulStub(channel).Unary(Item()).number == 2
        heavy_notes = StatefulStub(channel).Notes(Item()).text.splitlines()
        assert heavy_notes.count("freeze") == heavy_notes.count("thaw")


def test_a_policys_move_that_costs_too_much_is_refused_before_anything_is_stopped(heavy: Heavy) -> None:
    result = heavy.move(by_policy=True)
    assert (result.outcome, result.why, result.of_connection) == (result.ABORTED, WHY, True)
    assert heavy.hubs.moved == []  # no handoff was begun
    row = heavy.row
    assert (row.movable, row.why, row.move_ms) == (True, f"no policy moves it: {WHY}", pytest.approx(340))


def test_a_persons_move_is_made_whatever_it_costs(heavy: Heavy) -> None:
    result = heavy.move()
    assert (result.outcome, result.why) == (result.MOVED, "")


def test_a_policys_move_is_made_up_to_the_limit(heavy: Heavy) -> None:
    heavy.cost = 0.05
    assert heavy.row.why == ""
    result = heavy.move(by_policy=True)
    assert (result.outcome, result.why) == (result.MOVED, "")


def test_what_came_since_the_move_was_begun_counts(heavy: Heavy, monkeypatch: pytest.MonkeyPatch) -> None:
    heavy.cost = 0.01
    quiesce = Departure.quiesce

    def slowly(departure: Departure, on_quiet: Callable[[], None]) -> None:
        heavy.cost = 0.34
        quiesce(departure, on_quiet)

    monkeypatch.setattr(Departure, "quiesce", slowly)
    result = heavy.move(by_policy=True)
    assert (result.outcome, result.why, result.of_connection) == (result.ABORTED, WHY, True)
    assert [moved.aborted for moved in heavy.hubs.moved] == [WHY]
    heavy.cost = 0.01
    assert heavy.move().outcome == result.MOVED


def test_every_turn_as_a_tests_tool_moves_whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(app, 2, move_every=1) as hubs, grpc.insecure_channel(hubs.address) as channel:
        monkeypatch.setattr(MoveCosts, "by_pace", lambda _, cost: Cost(60.0, 60.0))
        StatefulStub(channel).Unary(Item())
        hubs.wait_for(lambda: hubs.moved)
        assert [moved.aborted for moved in hubs.moved] == [""]


def test_without_a_limit_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(app, 2, max_move_time=0) as hubs, grpc.insecure_channel(hubs.address) as channel:
        StatefulStub(channel).Unary(Item())
        heavy = Heavy(hubs, monkeypatch)
        assert heavy.row.why == "" and heavy.row.move_ms == pytest.approx(340)
        assert heavy.move(by_policy=True).outcome == 0


def test_a_client_with_large_heads_is_moved_by_hand_only() -> None:
    """By what is true of it, and the limit that is the default."""
    with serving(QUIET, 2) as hubs, RawClient(hubs.address) as client:
        rig = Rig(hubs, client)
        greeted(hubs)
        for number in range(600):
            fields = [(f"{at % 100:02}", f"{number + at:04}") for at in range(400)]
            hubs.ask(lambda fields=fields: rig.call("Talk", *fields))
        assert len(hubs.connection().calls) == 600
        refused: list[Any] = []
        id = hubs.connection().id
        hubs.ask(lambda: hubs.nodes[0].mover.move(id, 1, refused.append, by_policy=True))
        assert refused[0].why.startswith("a move would stop its two hubs for ")
        assert hubs.move(1).outcome == 0
        hubs.wait_for(lambda: hubs.nodes[1].connections)
        assert len(hubs.connection().calls) == 600
