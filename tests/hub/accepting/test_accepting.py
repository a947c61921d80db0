"""Where fresh connections go: to hubs with room, to the least loaded, into waiting, or away with a reason."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gevent.hub
import grpc
import pytest

import actorrpc
from actorrpc.hub.node import Node
from actorrpc.loop.timers import Timer
from actorrpc.net.addresses import parse_address
from actorrpc.net.queue_length import queue_length
from actorrpc.pb import control_pb2
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient
from tests.support.waiting import PATIENCE

FULL = "the server is full: 2 connections on each of 2 hubs"


@pytest.fixture(autouse=True)
def nothing_unhandled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a callback of the loop raises is a failure of the test."""
    errors: list[object] = []
    handle = gevent.hub.Hub.handle_error

    def handle_error(hub: gevent.hub.Hub, context: object, type: Any, *rest: Any) -> None:
        if not issubclass(type, gevent.hub.Hub.NOT_ERROR):
            errors.append((context, type, *rest))
        handle(hub, context, type, *rest)

    monkeypatch.setattr(gevent.hub.Hub, "handle_error", handle_error)
    yield
    assert errors == []


class Served:
    """A real client with a connection of its own, once it has been served."""

    def __init__(self, address: str) -> None:
        local = ("grpc.use_local_subchannel_pool", 1)
        self.channel = grpc.insecure_channel(address, options=[local])
        self._stub = StatefulStub(self.channel)

    def call(self) -> Item:
        return self._stub.Unary(Item(), timeout=PATIENCE)

    def begin(self) -> Any:
        return self._stub.Unary.future(Item(), timeout=PATIENCE)


@pytest.fixture
def connect() -> Iterator[Callable[[Hubs], Served]]:
    with ExitStack() as opened:

        def connect(hubs: Hubs) -> Served:
            client = Served(hubs.address)
            opened.callback(client.channel.close)
            return client

        yield connect


def fill(hubs: Hubs, connect: Callable[[Hubs], Served], count: int) -> list[Served]:
    """Clients that are served, one after the other."""
    clients = [connect(hubs) for _ in range(count)]
    for client in clients:
        assert client.call().number == 1
    return clients


def counts(hubs: Hubs) -> list[int]:
    return hubs.ask(lambda: [len(node.connections) for node in hubs.nodes])


def waiting(hubs: Hubs, hub: int = 0) -> int:
    """How many are in the queues of a hub that accepts nobody."""
    held_up = hubs.nodes[hub].reception.waiting.held_up
    return sum(queue_length(listener._sock) for listener in held_up)


def frames_of(client: RawClient) -> list[int]:
    return [frame[0] for frame in client.frames]


# ---- caps


@pytest.mark.parametrize("spread", [False, True])
def test_a_full_hub_passes_connections_on_and_the_rest_wait(
    connect: Callable[[Hubs], Served], spread: bool
) -> None:
    with serving(app, 2, spread=spread, max_connections=5, full_timeout=0) as hubs:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        clients = fill(hubs, connect, 10)
        assert counts(hubs) == [5, 5]
        late = [connect(hubs).begin() for _ in range(2)]
        hubs.wait_for(lambda: waiting(hubs) == 2)
        assert counts(hubs) == [5, 5]
        served_elsewhere = next(iter(hubs.nodes[1].connections))
        hubs.ask(lambda: hubs.nodes[1].connections[served_elsewhere].shutdown())
        hubs.wait_for(lambda: any(each.done() for each in late))
        clients[0].channel.close()
        clients[1].channel.close()
        assert [each.result().number for each in late] == [1, 1]


def test_a_full_server_without_other_hubs(connect: Callable[[Hubs], Served]) -> None:
    with serving(app, max_connections=1, full_timeout=0) as hubs:
        (client,) = fill(hubs, connect, 1)
        late = connect(hubs).begin()
        hubs.wait_for(lambda: waiting(hubs) == 1)
        client.channel.close()
        assert late.result().number == 1


def test_those_who_wait_are_served_in_order() -> None:
    with serving(app, max_connections=1, full_timeout=0) as hubs, ExitStack() as opened:
        clients = []
        for number in range(4):
            clients.append(opened.enter_context(RawClient(hubs.address)))
            hubs.wait_for(
                lambda wanted=number: waiting(hubs) == wanted if wanted else hubs.nodes[0].connections
            )
        for client in clients:
            client.wait_for(raw.SETTINGS)
            client.close()


# ---- refusals


def test_a_client_that_has_waited_long_enough_learns_why(connect: Callable[[Hubs], Served]) -> None:
    with serving(app, 2, max_connections=2, full_timeout=0.3) as hubs:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        clients = fill(hubs, connect, 4)
        late = connect(hubs)
        for _ in range(2):
            with pytest.raises(grpc.RpcError) as caught:
                late.call()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == FULL
        assert [client.call().number for client in clients] == [2] * 4
        clients[0].channel.close()
        hubs.wait_for(lambda: sum(len(node.connections) for node in hubs.nodes) == 3)
        hubs.wait_for(lambda: not hubs.nodes[0].reception.waiting.refusals)
        assert late.call().number == 1, "the channel connects again"


def test_all_calls_of_a_refused_client_end(connect: Callable[[Hubs], Served]) -> None:
    with serving(app, max_connections=1, full_timeout=0.3) as hubs:
        fill(hubs, connect, 1)
        late = connect(hubs)
        for call in [late.begin() for _ in range(20)]:
            assert call.code() is grpc.StatusCode.UNAVAILABLE
            assert call.details() == "the server is full: 1 connections"


def test_what_a_refused_client_sees_on_the_wire() -> None:
    call = raw.headers(1, raw.request("/shapes.Stateful/Unary"))
    with serving(app, max_connections=1, full_timeout=0.3) as hubs, RawClient(hubs.address) as served:
        served.wait_for(raw.SETTINGS)
        with RawClient(hubs.address, raw.OPEN + call) as late:
            late.wait_for_end()
            settings, *_ = late.frames
            assert settings[0] == raw.SETTINGS
            (trailers,) = [frame for frame in late.frames if frame[0] == raw.HEADERS]
            assert trailers[1] & raw.END_STREAM and b"the server is full" in trailers[3]
            goaway = [frame[3] for frame in late.frames if frame[0] == raw.GOAWAY]
            assert goaway[0][4:8] == bytes(4) and goaway[0][8:] == b"the server is full: 1 connections"


@pytest.mark.parametrize("begin", [b"", raw.OPEN, b"GET / HTTP/1.1\r\n\r\n", raw.OPEN[:9]])
def test_a_refused_client_that_makes_no_call_is_told_as_well(begin: bytes) -> None:
    with serving(app, max_connections=1, full_timeout=0.3) as hubs, RawClient(hubs.address) as served:
        served.wait_for(raw.SETTINGS)
        with RawClient(hubs.address, begin) as late:
            late.wait_for_end()
            if not begin.startswith(b"GET"):
                assert frames_of(late)[0] == raw.SETTINGS and raw.GOAWAY in frames_of(late)
        hubs.wait_for(lambda: not hubs.nodes[0].reception.waiting.refusals)
        assert counts(hubs) == [1]


def test_a_crowd_is_refused_while_others_are_served(connect: Callable[[Hubs], Served]) -> None:
    with serving(app, max_connections=1, full_timeout=0.3) as hubs, ExitStack() as opened:
        (client,) = fill(hubs, connect, 1)
        crowd = [opened.enter_context(RawClient(hubs.address)) for _ in range(100)]
        for number, late in enumerate(crowd, 2):
            late.wait_for_end()
            assert raw.GOAWAY in frames_of(late)
            assert client.call().number == number
        assert counts(hubs) == [1]


def test_a_crowd_leaves_one_timer_that_looks_as_often_as_before() -> None:
    with serving(app, max_connections=1, full_timeout=0) as hubs, ExitStack() as opened:
        waits = hubs.nodes[0].reception.waiting
        begun: list[float] = []
        fired: list[float] = []

        class Counted(Timer):
            def set(self, seconds: float, function: Callable[..., object], *args: Any) -> None:
                begun.append(seconds)
                super().set(seconds, lambda: (fired.append(seconds), function(*args)))

        waits._timer = Counted()
        first = opened.enter_context(RawClient(hubs.address))
        first.wait_for(raw.SETTINGS)
        crowd = [opened.enter_context(RawClient(hubs.address)) for _ in range(50)]
        hubs.wait_for(lambda: waiting(hubs) == 50)
        hubs.ask(lambda: [waits.watch() for _ in crowd])  # as when each had been accepted first
        hubs.wait_for(lambda: len(fired) >= 3)
        # One for each time that it has fired; they would double from one to the next.
        assert hubs.ask(lambda: len(begun) <= len(fired) + 1)
        first.close()
        for client in crowd:
            client.wait_for(raw.SETTINGS)
            client.close()
        hubs.wait_for(lambda: not waits._timer.active)


def test_who_speaks_is_heard_behind_a_silent_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.accepting.waiting.MAX_REFUSALS", 8)
    monkeypatch.setattr("actorrpc.hub.accepting.refusal.FIRST_CALL", PATIENCE * 10)
    call = raw.headers(1, raw.request("/shapes.Stateful/Unary"))
    with serving(app, max_connections=1, full_timeout=0.3) as hubs, ExitStack() as opened:
        opened.enter_context(RawClient(hubs.address)).wait_for(raw.SETTINGS)
        silent = [opened.enter_context(RawClient(hubs.address, b"")) for _ in range(50)]
        hubs.wait_for(lambda: waiting(hubs) == 50)
        late = opened.enter_context(RawClient(hubs.address, raw.OPEN + call))
        late.wait_for_end()
        assert raw.HEADERS in frames_of(late)
        silent[0].wait_for_end()
        assert frames_of(silent[0])[0] == raw.SETTINGS and raw.GOAWAY in frames_of(silent[0])


def test_silence_is_not_waited_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has said nothing when it is told to go is not given time to close."""
    for module in ("pump", "linger"):
        monkeypatch.setattr(f"actorrpc.net.{module}.LINGER", PATIENCE * 10)
    with serving(app, max_connections=1, full_timeout=0.3) as hubs, ExitStack() as opened:
        opened.enter_context(RawClient(hubs.address)).wait_for(raw.SETTINGS)
        opened.enter_context(RawClient(hubs.address, b"")).wait_for_end()
        hubs.wait_for(lambda: not hubs.nodes[0].reception.waiting.refusals)


# ---- the least loaded


def test_connections_spread(connect: Callable[[Hubs], Served]) -> None:
    with serving(app, 4, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: sum(e.open for e in hubs.nodes[0].reception.passing.estimates().values()) == 3)
        for _ in range(200):
            opened.enter_context(RawClient(hubs.address))
        hubs.wait_for(lambda: sum(len(node.connections) for node in hubs.nodes) == 200)
        assert counts(hubs) == [50] * 4


def test_a_busy_hub_gets_fewer() -> None:
    with serving(app, 3, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: sum(e.open for e in hubs.nodes[0].reception.passing.estimates().values()) == 2)

        def work() -> None:
            for _ in range(100):
                hubs.nodes[1].reception.occupancy.tick(0.9)

        hubs.ask(work)
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].busy > 0.8)
        for _ in range(20):
            opened.enter_context(RawClient(hubs.address))
        hubs.wait_for(lambda: sum(len(node.connections) for node in hubs.nodes) == 20)
        assert counts(hubs) == [10, 0, 10]


# ---- what goes wrong between two hubs


def deaf(node: Node, hub: int) -> Callable[[], None]:
    """Let a hub not read what another one says. Returns what ends that."""
    link = node.links.by_serial[hub]
    link._reader.stop()
    return lambda: None if link.closed else link._reader.start(link._read)


def test_what_a_dead_hub_has_not_taken_is_served_by_another() -> None:
    with serving(app, 2, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        hubs.ask(lambda: deaf(hubs.nodes[1], 0))
        clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(10)]
        hubs.wait_for(lambda: len(hubs.nodes[0].reception.passing.neighbours[1].leaving) == 5)
        hubs.ask(lambda: hubs.nodes[1].links.by_serial[0].close())
        for client in clients:
            client.wait_for(raw.SETTINGS)
        assert counts(hubs) == [10, 0]


def test_a_silent_hub_gets_no_more_and_serves_what_it_has_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.accepting.passing.UNANSWERED", -1)
    with serving(app, 2, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        hear = hubs.ask(lambda: deaf(hubs.nodes[1], 0))
        clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(10)]
        hubs.wait_for(lambda: len(hubs.nodes[0].connections) == 9)
        hubs.ask(hear)
        for client in clients:
            client.wait_for(raw.SETTINGS)
        assert counts(hubs) == [9, 1]


@pytest.mark.parametrize("gone", [False, True])
def test_a_hub_that_has_filled_meanwhile_declines(gone: bool) -> None:
    """The client waits in the lobby, unread, until there is room somewhere; or it has closed by then."""
    with serving(app, 2, max_connections=1, full_timeout=0) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        first, second = (opened.enter_context(RawClient(hubs.address)) for _ in range(2))
        for client in (first, second):
            client.wait_for(raw.SETTINGS)
        hubs.ask(lambda: believe_in_room(hubs))
        late = opened.enter_context(RawClient(hubs.address))
        hubs.wait_for(lambda: len(hubs.nodes[0].reception.waiting.lobby) == 1)
        assert counts(hubs) == [1, 1]
        if gone:
            late.close()
            late = opened.enter_context(RawClient(hubs.address))
        second.close()
        late.wait_for(raw.SETTINGS)
        hubs.wait_for(lambda: counts_now(hubs) == [1, 1])


def believe_in_room(hubs: Hubs) -> None:
    """In the hubs' loop: hub 0 takes hub 1 for one with a place, and accepts for it."""
    reception = hubs.nodes[0].reception
    reception.passing.neighbours[1].estimate.hear(0, 0.0, 1)
    reception.resume()


def counts_now(hubs: Hubs) -> list[int]:
    """In the hubs' loop."""
    return [len(node.connections) for node in hubs.nodes]


def test_those_in_the_lobby_are_refused_when_their_time_has_come() -> None:
    with serving(app, 2, max_connections=1, full_timeout=0.5) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        for _ in range(2):
            opened.enter_context(RawClient(hubs.address)).wait_for(raw.SETTINGS)
        hubs.ask(lambda: believe_in_room(hubs))
        late = opened.enter_context(RawClient(hubs.address))
        late.wait_for_end()
        assert raw.GOAWAY in frames_of(late)


def test_a_socket_that_the_target_has_no_descriptor_for_is_not_lost() -> None:
    with serving(app, 2, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        passing = hubs.nodes[1].reception.passing
        receive = passing.receive

        def without(hub: int, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> bool:
            for fd in fds:
                os.close(fd)
            return receive(hub, message, ())

        passing.receive = without  # type: ignore[method-assign]
        clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(5)]
        for client in clients:
            client.wait_for(raw.SETTINGS)
        assert counts(hubs) == [5, 0]


def test_a_socket_that_cannot_be_sent_is_served_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(app, 2, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)

        def no_descriptors(*_: object) -> bool:
            raise OSError("too many open files")

        monkeypatch.setattr(hubs.nodes[0].links.by_serial[1], "send", no_descriptors)
        clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(5)]
        for client in clients:
            client.wait_for(raw.SETTINGS)
        assert counts(hubs) == [5, 0]
        monkeypatch.undo()


@pytest.mark.parametrize("stopping", [0, 1])
def test_a_hub_that_stops_with_connections_under_way(stopping: int) -> None:
    """Either the target takes them or the source keeps them; none is lost while one of them goes on."""
    with serving(app, 2, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        hear = hubs.ask(lambda: deaf(hubs.nodes[1], 0))
        clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(4)]
        leaving = hubs.nodes[0].reception.passing.neighbours[1].leaving
        hubs.wait_for(lambda: len(leaving) == 2)
        stopped: list[int] = []
        hubs.ask(lambda: hubs.nodes[stopping].stop(PATIENCE, lambda: stopped.append(stopping)))
        hubs.ask(hear)
        hubs.wait_for(lambda: not leaving)
        for client in clients:
            client.wait_for(raw.SETTINGS)


def test_a_connection_that_arrives_at_a_hub_which_is_stopping_is_told() -> None:
    """The kernel takes the word that it is taken only then."""
    with serving(app, 2, spread=True) as hubs, ExitStack() as opened:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        hear = hubs.ask(lambda: deaf(hubs.nodes[0], 1))
        much = control_pb2.Publish(topic="anything", payload=bytes(2_000_000))
        hubs.ask(lambda: hubs.nodes[1].links.by_serial[0].send(control_pb2.HubToHub(publish=much)))
        clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(2)]
        hubs.wait_for(lambda: hubs.nodes[1].reception.passing.arriving == 1)
        stopped: list[bool] = []
        hubs.ask(lambda: hubs.nodes[1].stop(PATIENCE, lambda: stopped.append(True)))
        hubs.ask(hear)
        connection: Any = hubs.wait_for(lambda: next(iter(hubs.nodes[1].connections.values()), None))
        (client,) = (each for each in clients if connection.peer == each.name)
        client.wait_for(raw.GOAWAY)
        client.close()
        hubs.wait_for(lambda: stopped)


# ---- moves, and what is left


def test_a_full_hub_refuses_a_move(connect: Callable[[Hubs], Served]) -> None:
    with serving(app, 2, max_connections=1) as hubs:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        first, second = fill(hubs, connect, 2)
        (id,) = hubs.nodes[0].connections
        result = hubs.move(1, id)
        assert result.outcome == control_pb2.MoveResult.ABORTED
        assert result.why == "hub 1 has 1 connections, its limit"
        assert (first.call().number, second.call().number) == (2, 2)
        second.channel.close()
        hubs.wait_for(lambda: not hubs.nodes[1].connections)
        assert hubs.move(1, id).outcome == control_pb2.MoveResult.MOVED
        assert first.call().number == 3


def test_a_place_that_a_move_did_not_need_is_free_again() -> None:
    class Unfit(StatefulBase):
        def on_thaw(self) -> None: ...

    with serving(actorrpc.App([Unfit]), 2, max_connections=1) as hubs:
        node = hubs.nodes[1]
        assert hubs.ask(lambda: node.reception.occupancy.has_room)
        prepare = control_pb2.Prepare(connection="0-1-9", number=9, snapshot=b"\xff")
        hubs.ask(
            lambda: node.links.receive(0, node.links.by_serial[0], control_pb2.HubToHub(prepare=prepare), ())
        )
        assert hubs.ask(lambda: node.reception.occupancy.has_room)


def test_nothing_is_left_of_a_thousand_that_passed() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with serving(app, 2, spread=True, max_connections=50, full_timeout=0) as hubs:
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        before = descriptors()
        for _ in range(10):
            with ExitStack() as opened:
                clients = [opened.enter_context(RawClient(hubs.address)) for _ in range(100)]
                for client in clients:
                    client.wait_for(raw.SETTINGS)
            hubs.wait_for(lambda: counts_now(hubs) == [0, 0])
        assert hubs.wait_for(lambda: descriptors() <= before)
        for node in hubs.nodes:
            assert not node.reception.unsettled
            assert not node.reception.waiting.lobby


def test_repr_tells_the_state() -> None:
    with serving(app, 2, spread=True) as hubs:
        assert "1 listeners, 0 in the lobby, 0 refusals" in repr(hubs.nodes[0].reception)
        with socket.create_connection(("127.0.0.1", parse_address(hubs.address)[1])):
            pass
