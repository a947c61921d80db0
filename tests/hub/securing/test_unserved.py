"""Connections that a hub has accepted, and does not serve yet: they are listed, and stay where they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import actorrpc
from actorrpc.pb import control_pb2
from tests.apps.shapes import Stateful
from tests.support import raw
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving
from tests.support.openssl_client import OpenSslClient, client_context
from tests.support.proxy_headers import LINE
from tests.support.raw_client import RawClient

APP = actorrpc.App([Stateful])
HEADER = LINE % b"TCP4 203.0.113.9 127.0.0.1 40000 443"
UNDER_WAY, NOT_BEGUN = "its TLS handshake is under way", "its TLS handshake has not begun"
NO_HEADER = "its PROXY header has not come"


@pytest.fixture
def config(pair: Pair) -> dict[str, Any]:
    return {"tls_cert": (pair.cert,), "tls_key": (pair.key,)}


@pytest.fixture
def open_() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def rows(hubs: Hubs) -> dict[str, control_pb2.Connection]:
    """What is listed of the first hub, by id."""
    page = hubs.ask(lambda: hubs.nodes[0].list_some(0))
    assert not page.more
    assert len({row.id for row in page.connections}) == len(page.connections)
    return {row.id: row for row in page.connections}


def refused(hubs: Hubs, id: str) -> str:
    """Why it is not moved."""
    results: list[control_pb2.MoveResult] = []
    hubs.ask(lambda: hubs.nodes[0].mover.move(id, 1, results.append))
    (result,) = results
    assert result.outcome == control_pb2.MoveResult.ABORTED and result.of_connection
    return result.why


def test_one_whose_handshake_is_under_way(
    config: dict[str, Any], authority: Authority, open_: ExitStack
) -> None:
    """It does not move, and has its id from then on."""
    with serving(APP, 2, **config) as hubs:
        sock = open_.enter_context(RawClient(hubs.address, b""))
        client = OpenSslClient(client_context(authority))
        client.feed(b"")
        sock.send(client.output()[:100])
        hubs.wait_for(lambda: hubs.nodes[0].handshakes)
        ((id, row),) = rows(hubs).items()
        assert (row.movable, row.why, row.awaits) == (False, UNDER_WAY, "handshake")
        assert row.peer == sock.name and 0 <= row.age < 60
        assert not (row.calls or row.services or row.state_bytes or row.cpu)
        assert refused(hubs, id) == UNDER_WAY
        assert hubs.ask(lambda: hubs.nodes[0].handshakes), "and nobody has ended it"


def test_it_keeps_its_id(config: dict[str, Any], authority: Authority) -> None:
    with serving(APP, 2, **config) as hubs, RawClient(hubs.address, b"") as sock:
        client = OpenSslClient(client_context(authority))
        client.feed(b"")
        hello = client.output()
        sock.send(hello[:100])
        hubs.wait_for(lambda: hubs.nodes[0].handshakes)
        (before,) = rows(hubs)
        sock.send(hello[100:])
        while not client.established:
            client.feed(sock.sock.recv(65536))
        sock.send(client.output())
        hubs.wait_for(lambda: hubs.nodes[0].connections)
        ((id, row),) = rows(hubs).items()
        assert (id, row.awaits, row.movable, row.why) == (before, "", True, "")


def test_those_that_wait_for_their_turn(config: dict[str, Any], open_: ExitStack) -> None:
    with serving(APP, 2, max_handshakes=1, handshake_timeout=0, **config) as hubs:
        for _ in range(3):
            open_.enter_context(RawClient(hubs.address, b""))
        hubs.wait_for(lambda: len(hubs.nodes[0].handshakes) == 3)
        found = rows(hubs)
        assert [row.why for row in found.values()] == [UNDER_WAY, NOT_BEGUN, NOT_BEGUN]
        assert [refused(hubs, id) for id in found] == [UNDER_WAY, NOT_BEGUN, NOT_BEGUN]


def test_one_whose_proxy_header_is_awaited(open_: ExitStack) -> None:
    with serving(APP, 2, proxy_protocol=("127.0.0.0/8",)) as hubs:
        sock = open_.enter_context(RawClient(hubs.address, HEADER[:9]))
        hubs.wait_for(lambda: hubs.nodes[0].reception.headers)
        ((id, row),) = rows(hubs).items()
        assert (row.movable, row.why, row.awaits) == (False, NO_HEADER, "proxy header")
        assert row.peer == sock.name, "it is the proxy's"
        assert refused(hubs, id) == NO_HEADER
        sock.send(HEADER[9:] + raw.OPEN)
        sock.wait_for(raw.SETTINGS)
        ((same, row),) = rows(hubs).items()
        assert (same, row.peer, row.awaits) == (id, "203.0.113.9:40000", "")


def test_a_header_and_then_a_handshake(config: dict[str, Any], open_: ExitStack) -> None:
    with serving(APP, 2, proxy_protocol=("127.0.0.0/8",), **config) as hubs:
        sock = open_.enter_context(RawClient(hubs.address, b""))
        hubs.wait_for(lambda: hubs.nodes[0].reception.headers)
        ((id, row),) = rows(hubs).items()
        assert row.why == NO_HEADER
        sock.send(HEADER)
        hubs.wait_for(lambda: hubs.nodes[0].handshakes)
        assert {id: row.why for id, row in rows(hubs).items()} == {id: UNDER_WAY}


def test_what_is_not_there_is_not_known(config: dict[str, Any], open_: ExitStack) -> None:
    with serving(APP, 2, **config) as hubs:
        results: list[control_pb2.MoveResult] = []
        open_.enter_context(RawClient(hubs.address, b""))
        hubs.wait_for(lambda: hubs.nodes[0].handshakes)
        (id,) = rows(hubs)
        hubs.ask(lambda: hubs.nodes[0].mover.move(f"{id}0", 1, results.append))
        assert [each.outcome for each in results] == [control_pb2.MoveResult.UNKNOWN_CONNECTION]


def test_a_drain_names_them(config: dict[str, Any], open_: ExitStack) -> None:
    """It is over once they have gone."""
    with serving(APP, 2, **config) as hubs:
        open_.enter_context(RawClient(hubs.address, b""))
        node = hubs.nodes[0]
        hubs.wait_for(lambda: node.handshakes)
        hubs.ask(lambda: node.draining.drain({1: 0}))
        load = hubs.ask(node.report)
        assert load.connections == load.draining.left == 1
        assert dict(load.draining.stays) == {UNDER_WAY: 1}
        open_.close()
        hubs.wait_for(lambda: not node.handshakes)
        load = hubs.ask(node.report)
        assert load.connections == load.draining.left == 0


def test_they_are_listed_in_portions_and_none_is_missing(
    config: dict[str, Any], authority: Authority, open_: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is served meanwhile: it is named once more, under the same id."""
    with serving(APP, 2, **config) as hubs:
        node = hubs.nodes[0]
        client = OpenSslClient(client_context(authority))
        client.feed(b"")
        first = open_.enter_context(RawClient(hubs.address, b""))
        hubs.wait_for(lambda: len(node.handshakes) == 1)
        for _ in range(9):
            open_.enter_context(RawClient(hubs.address, b""))
        hubs.wait_for(lambda: len(node.handshakes) == 10)
        everything = set(rows(hubs))
        monkeypatch.setattr("actorrpc.hub.listing.LISTING", 0.0)
        found: list[tuple[str, str]] = []
        more = 0
        while not found or more:
            page = hubs.ask(lambda after=more: node.list_some(after))
            found += [(row.id, row.awaits) for row in page.connections]
            assert len(page.connections) == 1
            more = page.more
            if len(found) == 5:  # the first one is served, and its row has been told
                first.send(client.output())
                while not client.established:
                    client.feed(first.sock.recv(65536))
                first.send(client.output())
                hubs.wait_for(lambda: node.connections)
        assert {id for id, _ in found} == everything
        assert len(found) == 11 and found[-1] == (found[0][0], "")
