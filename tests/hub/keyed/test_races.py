"""What comes for a keyed actor, or of it, at an awkward moment."""

from __future__ import annotations

from time import monotonic
from typing import Any

import grpc
import pytest
from gevent.event import Event

import actorrpc
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.outgoing import OutgoingCall
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.resting import AGAIN
from actorrpc.hub.serving.relay import Relay
from actorrpc.service import Keyed
from tests.apps.rooms import Room
from tests.apps.rooms_actorrpc import RoomBase, RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.collector import alive, no_collector
from tests.support.hubs import Hubs
from tests.support.keyed import PATIENCE, home, move, rooms, where

A = "rooms.Room/a"


def resting(idle: float, base: type[RoomBase]) -> type[RoomBase]:
    """The same service, passivated after so many seconds."""
    spec = RoomBase.__rpc__
    keyed = Keyed(field="room", idle=idle)
    return type(base.__name__, (base,), {"__rpc__": type(spec)(spec.name, spec.methods, spec.state, keyed)})


def at_rest(hubs: Hubs) -> bool:
    """Whether no hub has a call under way."""
    return not any(node.exchange.outgoing or node.exchange.answering for node in hubs.nodes)


class Gates:
    """Where code of the app's waits until a test lets it go on."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self._open = Event()

    def wait(self, what: str) -> None:
        self.entered.append(what)
        self._open.wait()

    def open(self, hubs: Hubs) -> None:
        hubs.ask(self._open.set)


def test_what_is_passivated_while_it_is_to_move_ends() -> None:
    gates = Gates()

    class Slow(Room):
        def on_passivate(self) -> None:
            gates.wait("on_passivate")

    with rooms(actorrpc.App([resting(0, Slow)]), 2) as (hubs, stub):
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1
        hubs.wait_for(lambda: gates.entered)
        assert move(hubs, A, 1).why == "it is being closed"
        waiting = stub.Post.future(Line(room="a"), timeout=PATIENCE)
        hubs.wait_for(lambda: hubs.nodes[0].actors._waiting)
        assert len(gates.entered) == 1
        gates.open(hubs)
        assert waiting.result().number == 1, "a new one"


def test_what_cannot_be_made_is_not_moved() -> None:
    gates = Gates()

    class Shy(Room):
        def on_activate(self) -> None:
            if not gates.entered:
                gates.wait("on_activate")
                raise actorrpc.RpcError(actorrpc.StatusCode.FAILED_PRECONDITION, "not yet")

    with rooms(actorrpc.App([Shy]), 2) as (hubs, stub):
        waiting = stub.Post.future(Line(room="a"), timeout=PATIENCE)
        hubs.wait_for(lambda: gates.entered)
        results: list[Any] = []
        hubs.ask(lambda: hubs.nodes[0].mover.move(A, 1, results.append))
        hubs.wait_for(lambda: hubs.nodes[0].mover.handoffs.sources)
        gates.open(hubs)
        assert waiting.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert hubs.wait_for(lambda: results)[0].why
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 1


def test_each_service_has_its_own_idle_time() -> None:
    class Brief(Room): ...

    spec = RoomBase.__rpc__
    other = type(spec)("rooms.Other", spec.methods, spec.state, Keyed(field="room", idle=0.0))
    brief = type("Other", (Brief,), {"__rpc__": other})
    with rooms(actorrpc.App([Room, brief])) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        with grpc.insecure_channel(hubs.address) as channel:
            call = channel.unary_unary("/rooms.Other/Post", Line.SerializeToString, Line.FromString)
            assert call(Line(room="x"), timeout=PATIENCE).number == 1
        hubs.wait_for(lambda: "rooms.Other/x" not in hubs.nodes[0].actors.by_id)
        assert where(hubs, A) == [0]


def test_a_subscription_that_keeps_an_actor_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps: list[float] = []

    class Reader(Room):
        def on_activate(self) -> None:
            self.subscribe("news")

        def on_topic(self, topic: str, message: Any) -> None: ...

    with rooms(actorrpc.App([resting(0, Reader)])) as (hubs, stub):
        watched = hubs.nodes[0].actors._resting
        look = watched._look

        def count() -> None:
            sweeps.append(monotonic())
            look()

        hubs.ask(lambda: setattr(watched, "_look", count))
        stub.Post(Line(room="a"), timeout=PATIENCE)
        hubs.wait_for(lambda: sweeps and sweeps[-1] - sweeps[0] >= AGAIN)
        assert len(sweeps) < 10


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_a_caller_that_reads_late_hears_all_and_lets_the_actor_rest(hub: int) -> None:
    with rooms(actorrpc.App([resting(0.01, Room)]), 2) as (hubs, stub):
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        move(hubs, A, hub)
        channel = grpc.insecure_channel(hubs.address, options=[("grpc.http2.bdp_probe", 0)])  # a small window
        late = RoomStub(channel).Recite(Line(room="a", number=300, text="x" * 100_000), timeout=PATIENCE)
        hubs.wait_for(
            lambda: any(call.listener.congested for call in hubs.nodes[0].exchange.outgoing.values())
        )
        assert [line.number for line in late] == [*range(300)]
        channel.close()
        stream.cancel()
        hubs.wait_for(lambda: at_rest(hubs) and not where_now(hubs))


def behind(hubs: Hubs) -> bool:
    """Whether a caller does not read."""
    return any(call.listener.congested for call in hubs.nodes[0].exchange.outgoing.values())


def where_now(hubs: Hubs) -> list[int]:
    return [node.hub for node in hubs.nodes if A in node.actors.by_id]


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_a_caller_that_does_not_read_may_give_up(hub: int) -> None:
    with rooms(actorrpc.App([resting(0.01, Room)]), 2) as (hubs, stub):
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        move(hubs, A, hub)
        channel = grpc.insecure_channel(hubs.address, options=[("grpc.http2.bdp_probe", 0)])  # a small window
        late = RoomStub(channel).Recite(Line(room="a", number=300, text="x" * 100_000), timeout=PATIENCE)
        hubs.wait_for(
            lambda: any(call.listener.congested for call in hubs.nodes[0].exchange.outgoing.values())
        )
        late.cancel()
        channel.close()
        stream.cancel()
        hubs.wait_for(lambda: at_rest(hubs) and not where_now(hubs))


@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_a_withdrawal_while_the_actor_moves_arrives(hub: int) -> None:
    gates = Gates()

    class Slow(Room):
        def on_freeze(self) -> None:
            gates.wait("on_freeze")

    with rooms(actorrpc.App([Slow]), 2) as (hubs, stub):
        stub.Post(Line(room="a"), timeout=PATIENCE)
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        results: list[Any] = []
        if hub:
            hubs.ask(lambda: hubs.nodes[0].mover.move(A, 1, results.append))
            gates.open(hubs)
            hubs.wait_for(lambda: results)
        node = home(hubs, A)
        gates._open.clear()
        gates.entered.clear()
        hubs.ask(lambda: node.mover.move(A, 1 - node.hub, results.append))
        hubs.wait_for(lambda: gates.entered)
        stream.cancel()
        hubs.wait_for(lambda: not hubs.nodes[0].exchange.outgoing or gates.entered)
        gates.open(hubs)
        hubs.wait_for(lambda: at_rest(hubs))
        assert stub.Post(Line(room="a"), timeout=PATIENCE).number == 2


@pytest.mark.parametrize("end", ("ends", "is cancelled", "fails", "is let go"))
@pytest.mark.parametrize("hub", (0, 1), ids=("here", "elsewhere"))
def test_nothing_is_left_for_the_collector(hub: int, end: str) -> None:
    kinds = (actorrpc.Call, Relay, Answers, OutgoingCall, Activation)
    with rooms(actorrpc.App([resting(0.01, Room)]), 2) as (hubs, stub), no_collector():
        stream = stub.Listen(Line(room="a"), timeout=PATIENCE)
        stream.initial_metadata()
        move(hubs, A, hub)
        if end == "ends":
            stub.Post(Line(room="a"), timeout=PATIENCE)
        elif end == "fails":
            with pytest.raises(grpc.RpcError):
                stub.Post(Line(room="a", status=5), timeout=PATIENCE)
        elif end == "is let go":
            assert hubs.move(1).why == ""
        stream.cancel()
        hubs.wait_for(lambda: at_rest(hubs) and not where_now(hubs))
        hubs.wait_for(lambda: not alive(*kinds))
