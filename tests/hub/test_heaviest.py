"""What a hub says of its heaviest connections, and of one of them: for `actorrpc top` and `why`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import grpc
import pytest

from actorrpc.hub import heaviest
from tests.apps.rooms import app
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line
from tests.support.hubs import Hubs, serving
from tests.support.keyed import PATIENCE, move
from tests.support.raw_client import RawClient


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    with serving(app, 2) as hubs:
        yield hubs


@pytest.fixture
def stub(hubs: Hubs) -> Iterator[RoomStub]:
    with grpc.insecure_channel(hubs.address) as channel:
        yield RoomStub(channel)


def test_the_heaviest_come_first_and_then_all_others(hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as opened:
        for _ in range(12):
            opened.callback(RawClient(hubs.address).close)
        node = hubs.nodes[0]
        hubs.wait_for(lambda: len(node.connections) == 12)

        # What they take is set by hand: what they really take is nothing.
        def load() -> list[str]:
            named = []
            for at, connection in enumerate(node.connections.values()):
                connection.usage._long = at / 100
                if at >= 6:
                    node._reporter.remember(connection.usage)
                    named.append(connection.id)
            return named[::-1]

        loaded = hubs.ask(load)
        answer = hubs.ask(lambda: node.list_heaviest(8, ""))
        assert [row.id for row in answer.connections][:6] == loaded
        assert len(answer.connections) == 8
        assert not answer.more
        first = answer.connections[0]
        assert (first.load > 0, first.movable, first.why) == (True, True, "")
        assert hubs.ask(lambda: [node.describe(id).rank for id in loaded]) == [1, 2, 3, 4, 5, 6]
        lightest = next(iter(node.connections))
        assert hubs.ask(lambda: (node.describe(lightest).rank, node.describe(lightest).count)) == (0, 12)
        assert len(hubs.ask(lambda: node.list_heaviest(1000, "")).connections) == 12
        monkeypatch.setattr(heaviest, "MOST", 3)
        assert len(hubs.ask(lambda: node.list_heaviest(1000, "")).connections) == 3


def test_only_those_that_match(hubs: Hubs, stub: RoomStub) -> None:
    stub.Post(Line(room="Lobby"), timeout=PATIENCE)
    client = RawClient(hubs.address)
    node = hubs.nodes[0]
    hubs.wait_for(lambda: len(node.connections) == 2)

    def named(match: str) -> tuple[int, int]:
        answer = hubs.ask(lambda: node.list_heaviest(10, match))
        return len(answer.connections), len(answer.actors)

    assert named("") == (2, 1)
    assert named("lobby") == (0, 1)  # in lower case
    assert named("rooms.room") == (0, 1)
    assert named(client.name.lower()) == (1, 0)
    assert named("nobody") == (0, 0)
    client.close()


def test_to_look_for_a_match_takes_no_longer_than_it_may(hubs: Hubs, monkeypatch: pytest.MonkeyPatch) -> None:
    client = RawClient(hubs.address)
    node = hubs.nodes[0]
    hubs.wait_for(lambda: len(node.connections) == 1)
    monkeypatch.setattr(heaviest, "LOOKING", -1.0)
    assert hubs.ask(lambda: node.list_heaviest(10, "nobody")).more
    assert not hubs.ask(lambda: node.list_heaviest(10, "")).more
    client.close()


def test_one_connection_and_one_actor(hubs: Hubs, stub: RoomStub) -> None:
    stub.Post(Line(room="a"), timeout=PATIENCE)
    node = hubs.nodes[0]
    (id,) = node.connections
    described = hubs.ask(lambda: node.describe(id))
    assert (described.connection.id, described.connection.moves, described.count) == (id, 0, 2)
    actor = hubs.ask(lambda: node.describe("rooms.Room/a")).actor
    assert (actor.service, actor.key, actor.moves) == ("rooms.Room", "a", 0)
    for name in (id, "rooms.Room/a"):
        assert not move(hubs, name, 1).why
    other = hubs.nodes[1]
    assert hubs.ask(lambda: other.describe(id)).connection.moves == 1
    assert hubs.ask(lambda: other.describe("rooms.Room/a")).actor.moves == 1
    gone = hubs.ask(lambda: node.describe(id))
    assert not (gone.HasField("connection") or gone.HasField("actor"))
    named = hubs.ask(lambda: other.list_heaviest(10, ""))
    assert [row.moves for row in (*named.connections, *named.actors)] == [1, 1]


def test_calls_of_clients_are_counted(hubs: Hubs, stub: RoomStub) -> None:
    node = hubs.nodes[0]
    for _ in range(3):
        stub.Post(Line(room="a"), timeout=PATIENCE)
    assert hubs.ask(node.report).calls == 3
