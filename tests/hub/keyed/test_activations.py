"""When keyed actors come to be, and when they end."""

from __future__ import annotations

from collections.abc import Iterator

import gevent
import grpc
import pytest

import actorrpc
from actorrpc.pb import control_pb2
from actorrpc.service import Keyed
from tests.apps.rooms import Counter, Room
from tests.apps.rooms_actorrpc import CounterStub, RoomBase
from tests.apps.rooms_pb2 import Line, RoomState
from tests.support.keyed import PATIENCE, move, rooms, where

A = "rooms.Room/a"


def resting(idle: float, always: tuple[str, ...] = (), base: type[RoomBase] = Room) -> type[RoomBase]:
    """The same service, passivated after so many seconds."""
    spec = RoomBase.__rpc__
    keyed = Keyed(field="room", idle=idle, always=always)
    return type(base.__name__, (base,), {"__rpc__": type(spec)(spec.name, spec.methods, spec.state, keyed)})


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_it_is_passivated_when_nothing_has_called_and_made_anew(hub: int) -> None:
    with rooms(actorrpc.App([resting(0.05)]), 2) as (hubs, stub):
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        move(hubs, A, hub)
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1
        gevent.sleep(0.2)
        assert where(hubs, A) == [hub], "a call is open"
        stream.cancel()
        hubs.wait_for(lambda: not any(A in node.actors.by_id for node in hubs.nodes))
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1


def test_each_service_has_its_own_time() -> None:
    """Also where another has set the clock before."""
    with rooms(actorrpc.App([Room, Counter])) as (hubs, stub), grpc.insecure_channel(hubs.address) as channel:
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1
        hubs.wait_for(lambda: hubs.nodes[0].actors.by_id[A].idle_for)
        count = CounterStub(channel).Count
        assert count(Line(), metadata=[("actor-key", "c")], timeout=PATIENCE).number == 1
        hubs.wait_for(lambda: [*hubs.nodes[0].actors.by_id] == [A])


def test_a_call_that_comes_during_on_passivate_waits_for_the_next_activation() -> None:
    held: list[str] = []

    class Slow(Room):
        def on_passivate(self) -> None:
            held.append(self.key)
            while held:
                gevent.sleep(0.001)

    with rooms(actorrpc.App([resting(0, base=Slow)])) as (hubs, stub):
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1
        hubs.wait_for(lambda: held)
        waiting = stub.Post.future(Line(room="a"), timeout=PATIENCE)
        hubs.wait_for(lambda: hubs.nodes[0].exchange.outgoing)
        assert not waiting.done()
        held.clear()
        assert waiting.result().number == 1
        hubs.wait_for(lambda: held)
        held.clear()


def test_one_that_moves_before_its_on_activate_is_activated_there() -> None:
    with rooms(actorrpc.App([Room]), 2) as (hubs, stub):
        ends: list[control_pb2.MoveResult] = []

        def move_at_once() -> None:
            node = hubs.nodes[0]
            name = ("rooms.Room", "a")
            room = node.actors.make(name, Room, 1)
            node.directory.find(name, lambda found: node.actors.adopt(room, found.epoch))
            room.activate()
            node.mover.move(A, 1, ends.append)

        hubs.ask(move_at_once)
        hubs.wait_for(lambda: ends)
        assert where(hubs, A) == [1]
        assert stub.Notes(Line(room="a"), timeout=PATIENCE).text == "activate a"


def test_one_that_cannot_be_made_fails_its_calls_and_the_next_call_tries_again() -> None:
    failures = ["once", "twice"]

    class Shy(Room):
        def on_activate(self) -> None:
            if failures:
                raise actorrpc.RpcError(actorrpc.StatusCode.FAILED_PRECONDITION, failures.pop(0))

    with rooms(actorrpc.App([resting(300, base=Shy)]), 2) as (_, stub):
        for why in ("once", "twice"):
            with pytest.raises(grpc.RpcError) as raised:
                stub.Post(Line(room="a"), timeout=PATIENCE)
            assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, why)
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1


def test_keys_that_are_always_active() -> None:
    with rooms(actorrpc.App([resting(0, always=("x", "y", "z"))]), 3) as (hubs, stub):
        for key in "xyz":
            hubs.wait_for(
                lambda key=key: len([n for n in hubs.nodes if f"rooms.Room/{key}" in n.actors.by_id]) == 1
            )
        assert stub.Post(Line(room="x"), timeout=PATIENCE).number == 1
        assert stub.Post(Line(room="x"), timeout=PATIENCE).number == 2, "it is not passivated"


def test_one_that_is_to_be_active_and_cannot_be_made_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.keyed.activations.FIRST_PAUSE", 0.01)
    tries: list[int] = []

    class Shy(Room):
        def on_activate(self) -> None:
            tries.append(1)
            if len(tries) < 4:
                raise ZeroDivisionError("not yet")

    with rooms(actorrpc.App([resting(300, always=("x",), base=Shy)])) as (hubs, stub):
        hubs.wait_for(lambda: len(tries) == 4)
        assert stub.Post(Line(room="x"), timeout=PATIENCE).number == 1


def test_a_hub_that_stops_passivates_them() -> None:
    ended: list[str] = []

    class Noting(Room):
        def on_passivate(self) -> None:
            ended.append(self.key)

    with rooms(actorrpc.App([resting(300, base=Noting)])) as (_, stub):
        for room in "ab":
            stub.Post(Line(room=room), timeout=PATIENCE)
    assert sorted(ended) == ["a", "b"]


class Reader(RoomBase):
    """Hears of its topic as an actor, and on calls."""

    state: RoomState

    def on_activate(self) -> None:
        self.subscribe(f"news/{self.key}")

    def on_topic(self, topic: str, message: Line) -> None:
        self.state.lines += 1

    def Post(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        self.publish(f"news/{self.key}", request)
        return Line(number=self.state.lines)

    def Listen(self, request: Line, call: actorrpc.Call[Line]) -> None:
        self.subscribe(f"news/{self.key}", call)
        call.send_initial_metadata({})

    def Recite(self, request: Line, call: actorrpc.Call[Line]) -> Iterator[Line]:
        yield request

    def Notes(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        return Line(number=self.state.lines)

    def Beside(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        return request

    def Talk(self, message: Line, call: actorrpc.Call[Line]) -> None: ...


def test_topics_go_with_it() -> None:
    with rooms(actorrpc.App([resting(0, base=Reader)]), 2) as (hubs, stub):
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        for number in range(6):
            stub.Post(Line(room="a", number=number), timeout=PATIENCE)
            assert move(hubs, A, (number + 1) % 2).why in ("", "it is there already")
        assert [next(stream).number for _ in range(6)] == [*range(6)]
        hubs.wait_for(
            lambda: any(
                A in n.actors.by_id and n.actors.by_id[A].cell.instance.state.lines == 6 for n in hubs.nodes
            )
        )
        assert len(where(hubs, A)) == 1, "a subscription keeps it, though idle is 0"
