"""What time does to a connection: the handshake's limit, keepalive, idleness and age, also after a move."""

from __future__ import annotations

import queue
import time

import grpc
import pytest

from actorrpc.pb.control_pb2 import MoveResult
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.raw_client import RawClient

ANSWER_GOAWAY_PING = raw.frame(raw.PING, raw.ACK, 0, b"goaway\0\0")
NO_ERROR = 0


def connect(hubs: Hubs) -> grpc.Channel:
    return grpc.insecure_channel(hubs.address, options=[("grpc.use_local_subchannel_pool", 1)])


def goaway_code(frame: tuple[int, int, int, bytes]) -> int:
    return int.from_bytes(frame[3][4:8], "big")


@pytest.mark.parametrize("begin", (b"", raw.PREFACE[:10], raw.PREFACE, raw.OPEN[:-1]))
def test_a_handshake_may_not_take_for_ever(begin: bytes) -> None:
    with serving(app, handshake_timeout=0.2) as hubs, RawClient(hubs.address, begin) as client:
        began = time.monotonic()
        client.wait_for_end()
        assert time.monotonic() - began > 0.1
        assert hubs.ask(lambda: len(hubs.nodes[0].connections)) == 0


def test_a_connection_that_has_greeted_is_left_alone() -> None:
    with serving(app, handshake_timeout=0.05) as hubs, RawClient(hubs.address) as client:
        connection = hubs.connection()
        accepted = connection.timer.times.accepted
        hubs.wait_for(lambda: time.monotonic() > accepted + 0.2)
        client.send(raw.frame(raw.PING, 0, 0, bytes(8)))
        client.wait_for(raw.PING, raw.ACK)


@pytest.mark.parametrize("moved", (False, True))
def test_a_silent_client_is_asked_and_then_closed(moved: bool) -> None:
    with (
        serving(app, 2, keepalive_time=0.2, keepalive_timeout=1) as hubs,  # in which the test must answer
        RawClient(hubs.address) as client,
    ):
        if moved:
            assert hubs.move(1).outcome == MoveResult.MOVED
        for _ in range(3):
            ping = client.wait_for(raw.PING)
            client.send(raw.frame(raw.PING, raw.ACK, 0, ping[3]))
        client.wait_for(raw.PING)
        if moved:
            hubs.move(0)
        client.wait_for_end()


def test_a_client_that_speaks_is_not_asked() -> None:
    with serving(app, keepalive_time=30) as hubs, RawClient(hubs.address) as client:
        connection = hubs.connection()

        def grow_old() -> None:
            connection.timer.times.heard -= 31
            connection.timer.start()

        client.send(raw.settings())
        for _ in range(2):  # those of the handshake, and these
            client.wait_for(raw.SETTINGS, raw.ACK)
        assert not any(frame[0] == raw.PING for frame in client.frames)
        hubs.ask(grow_old)
        client.wait_for(raw.PING)


@pytest.mark.parametrize("moved", (False, True))
def test_an_idle_connection_is_ended_in_two_steps(moved: bool) -> None:
    with serving(app, 2, max_connection_idle=1000) as hubs, RawClient(hubs.address) as client:
        client.wait_for(raw.SETTINGS, raw.ACK)
        timer = hubs.connection().timer

        def grow_old() -> None:
            timer.times.idle_since -= 1000
            if not moved:  # else the other hub is the first to look at it
                timer.start()

        hubs.ask(grow_old)
        if moved:
            assert hubs.move(1).outcome == MoveResult.MOVED
        assert goaway_code(client.wait_for(raw.GOAWAY)) == NO_ERROR
        client.wait_for(raw.PING)
        client.send(ANSWER_GOAWAY_PING)
        assert int.from_bytes(client.wait_for(raw.GOAWAY)[3][:4], "big") == 0
        client.wait_for_end()


def test_a_connection_with_a_call_is_not_idle() -> None:
    with serving(app, max_connection_idle=0.2) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        replies = stub.Listen(Item(text="topic"))
        replies.initial_metadata()
        connection = hubs.connection()
        accepted = connection.timer.times.accepted
        hubs.wait_for(lambda: time.monotonic() > accepted + 0.5)
        stub.Publish(Item(text="topic", number=1), timeout=10)
        assert next(replies).number == 1
        replies.cancel()
        hubs.wait_for(lambda: len(hubs.nodes[0].connections) == 0)


@pytest.mark.parametrize("moved", (False, True))
def test_an_old_connection_goes_when_its_calls_have_ended(moved: bool) -> None:
    """grpcio begins its next call on a new connection, and the old one's call goes on."""
    with serving(app, 2, max_connection_age=0.5) as hubs, connect(hubs) as channel:
        stub = StatefulStub(channel)
        outgoing: queue.Queue[Item | None] = queue.Queue()
        replies = stub.Talk(iter(outgoing.get, None))
        outgoing.put(Item(number=1))
        assert next(replies).number == 1
        old = hubs.connection()
        if moved:
            assert hubs.move(1).outcome == MoveResult.MOVED
            old = hubs.connection()
        hubs.wait_for(lambda: old.session.over or old.session.goaway_sent)
        assert stub.Unary(Item(), timeout=10, wait_for_ready=True).number == 1, "a new actor"
        outgoing.put(Item(number=2))
        assert next(replies).number == 2
        outgoing.put(None)
        assert list(replies) == []
        hubs.wait_for(lambda: all(old.id not in node.connections for node in hubs.nodes))


def test_after_the_grace_its_calls_end() -> None:
    with serving(app, max_connection_age=0.2, max_connection_age_grace=0.2) as hubs, connect(hubs) as channel:
        replies = StatefulStub(channel).Listen(Item(text="topic"))
        with pytest.raises(grpc.RpcError) as caught:
            next(replies)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "reached its age" in caught.value.details()


def test_a_client_that_does_not_answer_the_goaway_goes_all_the_same() -> None:
    with (
        serving(app, max_connection_idle=0.1, keepalive_timeout=0.2) as hubs,
        RawClient(hubs.address) as client,
    ):
        client.wait_for(raw.GOAWAY)
        while True:  # it goes on talking, so that it is not silent
            try:
                client.send(raw.frame(raw.PING, raw.ACK, 0, bytes(8)))
                client.receive()
            except OSError:
                break
            if client.ended:
                break
        assert [goaway_code(frame) for frame in client.frames if frame[0] == raw.GOAWAY] == [NO_ERROR]


def test_ages_differ() -> None:
    with serving(app, max_connection_age=100) as hubs, RawClient(hubs.address):
        first = hubs.connection().timer.times.max_age
        with RawClient(hubs.address):
            ages = hubs.wait_for(
                lambda: (
                    len(hubs.nodes[0].connections) == 2
                    and [each.timer.times.max_age for each in hubs.nodes[0].connections.values()]
                )
            )
        assert first in ages and len(set(ages)) == 2 and all(90 <= age <= 110 for age in ages)


def test_times_travel() -> None:
    with serving(app, 2, max_connection_age=1000) as hubs, RawClient(hubs.address):
        times = hubs.connection().timer.times

        def grow_old() -> None:
            times.accepted -= 500
            times.idle_since -= 400
            times.heard -= 300
            times.pinged = times.heard + 1000

        hubs.ask(grow_old)
        assert hubs.move(1).outcome == MoveResult.MOVED
        moved = hubs.connection().timer.times
        now = time.monotonic()
        assert moved is not times and moved.max_age == times.max_age
        assert [round((now - at) / 100) for at in (moved.accepted, moved.idle_since, moved.heard)] == [
            5,
            4,
            3,
        ]
        assert moved.pinged is not None and repr(moved).startswith("<Lifetime age 50")


def test_pings_are_counted_across_a_move() -> None:
    with serving(app, 2) as hubs, RawClient(hubs.address) as client:
        ping = raw.frame(raw.PING, 0, 0, b"12345678")
        client.send(ping * 3)
        for _ in range(3):
            client.wait_for(raw.PING, raw.ACK)
        assert hubs.move(1).outcome == MoveResult.MOVED
        client.send(ping)
        goaway = client.wait_for(raw.GOAWAY)
        assert goaway_code(goaway) == 0xB and goaway[3][8:] == b"too_many_pings"
        client.wait_for_end()
