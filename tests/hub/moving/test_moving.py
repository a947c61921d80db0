"""What travels with a connection, what pins it, and what becomes of a move that fails."""

from __future__ import annotations

import gc
import os
import queue
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import grpc
import pytest

import actorrpc
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.moving import snapshot
from actorrpc.hub.moving.departure import Arrival
from actorrpc.hub.moving.snapshot import thaw
from actorrpc.hub.node import Node
from actorrpc.pb import snapshot_pb2
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item
from tests.support.hubs import Hubs, serving


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    with serving(app, 3) as hubs:
        yield hubs


class Outgoing:
    """The client's side of a request stream."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Item | None] = queue.Queue()

    def send(self, number: int) -> None:
        self._queue.put(Item(number=number))

    def end(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._queue.get, None)


def moved(hubs: Hubs, target: int) -> None:
    result = hubs.move(target)
    assert (result.outcome, result.why) == (result.MOVED, "")


def test_state_open_streams_and_hpack_travel(hubs):
    with connect(hubs) as channel:
        stub, plain = StatefulStub(channel), StatelessStub(channel)
        talking, collecting, listening = Outgoing(), Outgoing(), stub.Listen(Item(text="news"))
        dict(listening.initial_metadata())
        replies, total = stub.Talk(iter(talking)), plain.Collect.future(iter(collecting))
        for number, target in enumerate([1, 2, 0, 2, 1, 0]):
            talking.send(number)
            assert next(replies).number == number
            collecting.send(number)
            moved(hubs, target)
            plain.Unary(Item(), metadata=[("key", f"value {number}")])
            stub.Publish(Item(text="news", number=number))
            assert next(listening).number == number
        collecting.end()
        assert total.result(10).number == sum(range(6))
        talking.end()
        assert list(replies) == []
        assert stub.Notes(Item()).text.splitlines() == ["connect", "freeze", "thaw"]
        assert hubs.connection().moves == 6
    hubs.wait_for(lambda: not any(node.connections for node in hubs.nodes))


def test_a_deadline_travels_as_time_remaining(hubs):
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        listening = stub.Listen(Item(text="silence"), timeout=1.0)
        dict(listening.initial_metadata())
        moved(hubs, 1)
        with pytest.raises(grpc.RpcError) as caught:
            next(listening)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        connection = hubs.connection()
        hubs.wait_for(lambda: not connection.calls)


def test_a_deadline_is_no_later_for_the_way(hubs, monkeypatch):
    def slow_thaw(*args: Any) -> Any:
        time.sleep(0.1)
        return thaw(*args)

    monkeypatch.setattr("actorrpc.hub.moving.mover.thaw", slow_thaw)
    with connect(hubs) as channel:
        listening = StatefulStub(channel).Listen(Item(text="silence"), timeout=20)
        dict(listening.initial_metadata())

        def deadline() -> float:
            (call,) = hubs.connection().calls.values()
            return call.deadline

        before, accepted = deadline(), hubs.connection().timer.times.accepted
        moved(hubs, 1)
        assert deadline() == pytest.approx(before, abs=0.001)
        assert hubs.connection().timer.times.accepted == pytest.approx(accepted, abs=0.001)


def test_a_snapshot_by_another_clock_has_its_time_remaining(hubs, monkeypatch):
    def foreign_thaw(keeper: Any, resources: Any, costs: Any, data: bytes) -> Any:
        snapshot = snapshot_pb2.ConnectionSnapshot.FromString(data)
        snapshot.taken_at += 1e6
        return thaw(keeper, resources, costs, snapshot.SerializeToString())

    monkeypatch.setattr("actorrpc.hub.moving.mover.thaw", foreign_thaw)
    with connect(hubs) as channel:
        listening = StatefulStub(channel).Listen(Item(text="silence"), timeout=20)
        dict(listening.initial_metadata())

        def time_remaining() -> float:
            (call,) = hubs.connection().calls.values()
            return call.time_remaining()

        before = time_remaining()  # which need not be 20: grpcio rounds up what it asks for
        moved(hubs, 1)
        assert before - 5 < time_remaining() <= before


def test_waiting_turns_travel():
    """Turns behind a blocked one are handled, in order, by the next hub."""
    entered: queue.Queue[str] = queue.Queue()
    release: list[bool] = []

    class Slow(StatefulBase):
        def Unary(self, request, call):
            if request.text == "block":
                entered.put("blocked")
                while not release:
                    gevent.sleep(0.001)
            self.state.notes.append(str(request.number))
            return Item(number=len(self.state.notes))

        def Notes(self, request, call):
            return Item(text=" ".join(self.state.notes))

    with serving(actorrpc.App([Slow]), 2, quiesce_timeout=20) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        first = stub.Unary.future(Item(text="block"))
        entered.get(timeout=10)
        calls = [stub.Unary.future(Item(number=number)) for number in range(1, 40)]
        outcome = MoveInBackground(hubs, 1)
        connection = hubs.connection()
        hubs.wait_for(lambda: sum(len(cell.mailbox) for cell in connection.cells.values()) == 39)
        release.append(True)
        assert outcome.wait().outcome == outcome.wait().MOVED
        assert [call.result(10).number for call in [first, *calls]] == list(range(1, 41))
        assert stub.Notes(Item()).text == " ".join(map(str, range(40)))


class MoveInBackground:
    """A move that is begun but not waited for."""

    def __init__(self, hubs: Hubs, target: int) -> None:
        self._hubs = hubs
        self._results: list[Any] = []
        id = hubs.connection().id
        node = next(n for n in hubs.nodes if id in n.connections)
        hubs.ask(lambda: node.mover.move(id, target, self._results.append))

    def wait(self) -> Any:
        return self._hubs.wait_for(lambda: self._results and self._results[0])


def test_a_blocked_handler_pins_its_connection_for_the_quiesce_timeout_only():
    with serving(app, 2, quiesce_timeout=0.1) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        blocked = stub.Unary.future(Item(number=1, sleep=1.0))
        connection = hubs.connection()
        hubs.wait_for(lambda: any(call.runner for call in connection.calls.values()))
        result = hubs.move(1)
        assert result.outcome == result.ABORTED
        assert result.why == "handler Unary running"
        shown = hubs.ask(hubs.nodes[0].list_connections)[0]
        assert not shown.movable and shown.why == "handler Unary running" and 0 < shown.running < 20
        assert blocked.result(10).number == 1
        moved(hubs, 1)
        assert stub.Unary(Item(number=2)).number == 2


def test_an_iterable_pins_visibly_until_it_is_exhausted(hubs):
    with connect(hubs) as channel:
        replies = StatelessStub(channel).Expand(Item(number=2_000, body=b"x" * 10_000))
        next(replies)
        result = hubs.move(1)
        assert result.why.startswith("the iterable that /shapes.Stateless/Expand returned is not exhausted")
        assert sum(1 for _ in replies) == 1_999
        moved(hubs, 1)


def test_a_ping_is_answered_while_a_handler_blocks_a_move(hubs):
    """And a cancellation, which then lets the move go on."""
    with serving(app, 2, quiesce_timeout=20) as hubs, connect(hubs) as channel:
        stub = StatelessStub(channel)
        blocked = stub.Unary.future(Item(sleep=60))
        connection = hubs.connection()
        hubs.wait_for(lambda: any(call.runner for call in connection.calls.values()))
        outcome = MoveInBackground(hubs, 1)
        hubs.wait_for(lambda: connection.phase.state == "quiescing")
        blocked.cancel()
        assert outcome.wait().outcome == outcome.wait().MOVED
        assert stub.Unary(Item(number=4)).number == 4


def test_a_state_over_the_limit_stays_where_it_is():
    with serving(app, 2, max_state_bytes=2_000) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        moved(hubs, 1)
        cell = hubs.connection().cells["shapes.Stateful"]
        hubs.ask(lambda: cell.instance.state.notes.append("x" * 3_000))
        result = hubs.move(0)
        assert result.outcome == result.ABORTED
        assert "over the limit of 2000" in result.why
        assert stub.Unary(Item()).number == 2


def test_on_freeze_that_raises_keeps_the_connection_here(caplog):
    class Unwilling(StatefulBase):
        thawed = actorrpc.transient(list)

        def on_freeze(self):
            raise ZeroDivisionError("not now")

        def on_thaw(self):
            self.thawed.append(1)

        def Unary(self, request, call):
            return Item(number=len(self.thawed))

    with serving(actorrpc.App([Unwilling]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        assert hubs.move(1).why == "on_freeze of shapes.Stateful raised"
        assert stub.Unary(Item()).number == 1, "on_thaw follows on_freeze, also in the same hub"
        assert "not now" in caplog.text


def test_a_connection_moves_on_before_it_was_thawed(monkeypatch):
    """As soon as it has come: on_freeze and on_thaw run in turns all the same."""

    class Noting(StatefulBase):
        def on_freeze(self):
            self.state.notes.append("freeze")

        def on_thaw(self):
            self.state.notes.append("thaw")

        def Notes(self, request, call):
            return Item(text=" ".join(self.state.notes))

        @actorrpc.concurrent
        def Beside(self, request, call):
            return Item(text=" ".join(self.state.notes))

    serve = Arrival.serve
    results: list[Any] = []

    def serve_and_send_on(arrival: Arrival, fd: int, freezes: int) -> None:
        serve(arrival, fd, freezes)
        id = arrival.connection.id
        node = next(node for node in hubs.nodes if node.connections.get(id) is arrival.connection)
        if node.hub != 2:
            node.mover.move(id, 2, results.append)

    monkeypatch.setattr(Arrival, "serve", serve_and_send_on)
    with serving(actorrpc.App([Noting]), 3) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Notes(Item())
        moved(hubs, 1)
        hubs.wait_for(lambda: hubs.nodes[2].connections)
        assert [(result.outcome, result.why) for result in results] == [(results[0].MOVED, "")]
        assert stub.Beside(Item()).text == "freeze thaw"
        moved(hubs, 0)
        assert stub.Notes(Item()).text == "freeze thaw freeze thaw"


def test_transients_are_made_anew():
    class Cached(StatefulBase):
        cache = actorrpc.transient(list)

        def Unary(self, request, call):
            self.cache.append(1)
            return Item(number=len(self.cache))

    with serving(actorrpc.App([Cached]), 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        assert [stub.Unary(Item()).number for _ in range(3)] == [1, 2, 3]
        moved(hubs, 1)
        assert stub.Unary(Item()).number == 1


def test_a_target_that_does_not_serve_the_service_refuses_and_the_client_notices_nothing():
    class Plain(StatelessBase):
        pass

    with serving(app, 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        other = actorrpc.App([Plain])
        hubs.ask(lambda: hubs.nodes[1].resources.serve(other))
        result = hubs.move(1)
        assert result.outcome == result.ABORTED
        assert "shapes.Stateful is not served here" in result.why
        assert stub.Unary(Item()).number == 2
        assert "thaw" in stub.Notes(Item()).text


def test_what_cannot_be_moved_is_said(hubs):
    with connect(hubs) as channel:
        StatelessStub(channel).Unary(Item())
        result = hubs.move(7)
        assert (result.outcome, result.why) == (result.UNKNOWN_HUB, "there is no link to that hub")
        result = hubs.move(0)
        assert (result.outcome, result.why) == (result.MOVED, "it is there already")
        unknown: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move("nobody", 1, unknown.append))
        assert unknown[0].outcome == result.UNKNOWN_CONNECTION


def _corrupt(change: Callable[[snapshot_pb2.ConnectionSnapshot], None]) -> Callable[[bytes], bytes]:
    def corrupt(data: bytes) -> bytes:
        snapshot = snapshot_pb2.ConnectionSnapshot.FromString(data)
        change(snapshot)
        return snapshot.SerializeToString()

    return corrupt


def _unknown_service(snapshot: snapshot_pb2.ConnectionSnapshot) -> None:
    snapshot.actors[0].service = "other.Service"


def _newer_format(snapshot: snapshot_pb2.ConnectionSnapshot) -> None:
    snapshot.format += 1


def _bad_state(snapshot: snapshot_pb2.ConnectionSnapshot) -> None:
    snapshot.actors[0].state = b"\xff\xff"


def _call_without_stream(snapshot: snapshot_pb2.ConnectionSnapshot) -> None:
    snapshot.calls.add(stream=99)


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda data: b"\xff" + data,
        _corrupt(_unknown_service),
        _corrupt(_newer_format),
        _corrupt(_bad_state),
        _corrupt(_call_without_stream),
    ],
)
def test_a_bad_snapshot_is_refused_and_nothing_leaks(hubs, monkeypatch, corrupt):
    def bad_thaw(node: Node, data: bytes) -> Any:
        return thaw(node, corrupt(data))

    monkeypatch.setattr("actorrpc.hub.moving.mover.thaw", bad_thaw)
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        result = hubs.move(1)
        assert result.outcome == result.ABORTED
        assert stub.Unary(Item()).number == 2
        assert hubs.connection().phase.state == "serving"
        assert not hubs.nodes[1].connections


def test_a_move_looks_at_no_call_for_each_actor(monkeypatch):
    """Each of thousands of users may have an actor, and as many calls may be open."""
    looked: list[int] = []
    abandon, thaw_turns = Cell.abandon_iterators, snapshot.thaw_turns

    class Calls(dict[int, Any]):
        def values(self) -> Any:
            looked.append(len(self))
            return super().values()

    def abandoning(cell: Cell, calls: Any) -> None:
        looked.append(len(calls))
        abandon(cell, calls)

    monkeypatch.setattr(Cell, "abandon_iterators", abandoning)
    monkeypatch.setattr(
        snapshot, "thaw_turns", lambda *args: thaw_turns(*args[:2], Calls(args[2]), *args[3:])
    )
    by_user = actorrpc.App(app.services.values(), identity=lambda call: str(call.metadata.get("user", "")))
    with serving(by_user, 2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        open_calls = [stub.Listen(Item(text="x"), metadata=[("user", f"u{number}")]) for number in range(9)]
        for each in open_calls:
            dict(each.initial_metadata())
        moved(hubs, 1)
        stub.Unary(Item())
        assert len(hubs.connection().cells) >= 9
    assert sum(looked) == 0


def test_no_file_descriptor_leaks_in_many_moves(hubs):
    with connect(hubs) as channel:
        stub = StatefulStub(channel)
        stub.Unary(Item())
        for target in (1, 2, 0):
            moved(hubs, target)
        gc.collect()  # what earlier tests have left
        before = len(os.listdir("/proc/self/fd"))
        for round_ in range(50):
            for target in (1, 2, 0):
                moved(hubs, target)
            assert stub.Unary(Item()).number == round_ + 2
        assert len(os.listdir("/proc/self/fd")) == before
