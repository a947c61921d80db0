"""Clients behind proxies that send PROXY headers: known by what these say, and by nobody else's word."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest

from actorrpc.hub.accepting import headers
from actorrpc.hub.serving.connection import Connection
from actorrpc.net.proxy_header import ProxyFacts
from actorrpc.pb import control_pb2
from tests.apps.shapes import app
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.proxy_headers import LINE, SIGNATURE, binary, tls, value
from tests.support.raw_client import RawClient
from tests.support.waiting import until

#: A client at 203.0.113.9:40000, and what a proxy may say of it beside that.
ADDRESSES = bytes([203, 0, 113, 9, 127, 0, 0, 1]) + b"\x9c\x40\x01\xbb"
ONE = LINE % b"TCP4 203.0.113.9 127.0.0.1 40000 443"
TWO = binary(
    0x21,
    0x11,
    ADDRESSES
    + value(0x02, b"api.example")
    + value(0x05, b"id-1")
    + tls(3, 0, name=b"ada", version=b"TLSv1.3"),
)
FACTS = ProxyFacts(
    authority="api.example",
    unique_id=b"id-1",
    tls=True,
    tls_version="TLSv1.3",
    certificate=True,
    verified=True,
    common_name="ada",
)
LOCAL = binary(0x20, 0x00, b"")

TRUSTED: dict[str, Any] = {"proxy_protocol": ("127.0.0.0/8",)}


def only(hubs: Hubs) -> Connection:
    return hubs.connection()  # type: ignore[no-any-return]


@pytest.mark.parametrize(("header", "facts"), [(ONE, None), (TWO, FACTS)], ids=["1", "2"])
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_client_is_who_its_proxy_says(header: bytes, facts: ProxyFacts | None, step: int) -> None:
    with serving(app, **TRUSTED) as hubs, RawClient(hubs.address, b"") as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = header + raw.OPEN
        for start in range(0, len(sent), step):
            client.send(sent[start : start + step])
        client.wait_for(raw.SETTINGS)
        assert (only(hubs).peer, only(hubs).proxied) == ("203.0.113.9:40000", facts)


@pytest.mark.parametrize(
    "header", [LOCAL, LINE % b"UNKNOWN", binary(0x21, 0, b"")], ids=["local", "unknown", "none"]
)
def test_where_the_proxy_speaks_for_nobody_it_is_the_client(header: bytes) -> None:
    with serving(app, **TRUSTED) as hubs, RawClient(hubs.address, header + raw.OPEN) as client:
        client.wait_for(raw.SETTINGS)
        assert (only(hubs).peer, only(hubs).proxied) == (client.name, None)


def test_what_is_known_travels() -> None:
    with serving(app, 2, **TRUSTED) as hubs, RawClient(hubs.address, TWO + raw.OPEN) as client:
        client.wait_for(raw.SETTINGS)
        for target in (1, 0):
            assert hubs.move(target).outcome == control_pb2.MoveResult.MOVED
            assert (only(hubs).peer, only(hubs).proxied) == ("203.0.113.9:40000", FACTS)


def test_another_hub_gets_the_client_with_what_is_known() -> None:
    with (
        serving(app, 2, spread=True, **TRUSTED) as hubs,
        RawClient(hubs.address, b"") as one,
        RawClient(hubs.address, b"") as other,
    ):
        hubs.wait_for(lambda: hubs.nodes[0].reception.passing.estimates()[1].open)
        for client in (one, other):
            client.send(TWO + raw.OPEN)
            client.wait_for(raw.SETTINGS)
        hubs.wait_for(lambda: [len(node.connections) for node in hubs.nodes] == [1, 1])
        found = [connection for node in hubs.nodes for connection in node.connections.values()]
        assert [(each.peer, each.proxied) for each in found] == [("203.0.113.9:40000", FACTS)] * 2


@pytest.mark.parametrize("header", [ONE, TWO], ids=["1", "2"])
@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8", "unix")])
def test_a_strangers_header_is_an_error(
    header: bytes, trusted: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with (
        serving(app, proxy_protocol=trusted) as hubs,
        RawClient(hubs.address, header + raw.OPEN) as client,
    ):
        client.wait_for_end()
        name = client.name
    why = "it sent a PROXY header, which is taken only from proxies that --proxy-protocol names"
    assert f"from {name}: the client does not speak HTTP/2: {why}" in caplog.text


def test_a_stranger_without_one_is_served() -> None:
    with serving(app, proxy_protocol=("10.0.0.0/8",)) as hubs, RawClient(hubs.address) as client:
        client.wait_for(raw.SETTINGS)
        assert only(hubs).peer == client.name


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (raw.OPEN, "no PROXY header, which --proxy-protocol asks for: it begins with b'PRI"),
        (b"\x16\x03\x01\x02\x00", "which --proxy-protocol asks for: it begins with b'\\x16"),
        (b"PROXY TCP4 " + b"1" * 500, "its line is longer than 107 bytes"),
        (SIGNATURE + b"\x21\x11\xff\xff" + bytes(9), "it is of 65551 bytes, and 16384 are taken"),
        (binary(0x21, 0x11, ADDRESSES[:5]), "it is too short for its addresses"),
        (LINE % b"TCP4 999.0.0.1 127.0.0.1 1 2", "its line cannot be read"),
    ],
)
def test_a_proxy_that_sends_none_or_a_wrong_one_is_closed(
    sent: bytes, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving(app, **TRUSTED) as hubs, RawClient(hubs.address, sent) as client:
        client.wait_for_end()
        assert client.frames == [] and not hubs.nodes[0].connections
        assert hubs.ask(lambda: len(hubs.nodes[0].reception.headers)) == 0
    assert why in caplog.text


@pytest.mark.parametrize("sent", [b"", ONE[:20], TWO[:-1], SIGNATURE + b"\x21\x11\x3f\xf0"])
def test_one_that_never_ends_is_waited_for_no_longer_than_a_handshake(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving(app, handshake_timeout=0.2, **TRUSTED) as hubs, RawClient(hubs.address, sent) as client:
        client.wait_for_end()
    assert "is closed: no PROXY header within 0.2 s" in caplog.text


def test_one_that_comes_byte_by_byte_has_no_more_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving(app, handshake_timeout=0.3, **TRUSTED) as hubs, RawClient(hubs.address, SIGNATURE) as client:
        client.send(b"\x21\x11\x3f\xf0")
        client.sock.settimeout(0.02)
        while not client.ended:
            try:
                client.send(b"\0")
                client.receive()
            except TimeoutError:
                pass
            except ConnectionError:
                break
    assert "no PROXY header within 0.3 s" in caplog.text


def test_one_that_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with serving(app, **TRUSTED) as hubs:
        with RawClient(hubs.address, TWO[:30]):
            hubs.wait_for(lambda: len(hubs.nodes[0].reception.headers) == 1)
        hubs.wait_for(lambda: not hubs.nodes[0].reception.headers)
    assert "it was closed before its PROXY header had come" in caplog.text


def test_who_keeps_the_hub_waiting_takes_a_place_and_gives_it_back() -> None:
    with (
        serving(app, max_connections=2, full_timeout=0, **TRUSTED) as hubs,
        RawClient(hubs.address, ONE + raw.OPEN) as served,
        RawClient(hubs.address, ONE[:9]) as slow,
    ):
        served.wait_for(raw.SETTINGS)
        hubs.wait_for(lambda: len(hubs.nodes[0].reception.headers) == 1)
        with RawClient(hubs.address, ONE + raw.OPEN) as third:
            hubs.wait_for(lambda: hubs.nodes[0].reception.waiting.held_up)
            assert len(hubs.nodes[0].connections) == 1
            slow.close()
            third.wait_for(raw.SETTINGS)


def test_one_whose_header_is_whole_has_its_place() -> None:
    """Its own place among those that are awaited is no reason to let it wait."""
    with (
        serving(app, max_connections=1, full_timeout=0, **TRUSTED) as hubs,
        RawClient(hubs.address, ONE[:9]) as client,
    ):
        hubs.wait_for(lambda: len(hubs.nodes[0].reception.headers) == 1)
        client.send(ONE[9:] + raw.OPEN)
        client.wait_for(raw.SETTINGS)
        assert not hubs.nodes[0].reception.waiting.lobby


def test_no_more_are_awaited_than_other_hubs_have_places() -> None:
    """Else all but a few of them would end in the lobby."""
    with serving(app, 2, spread=True, max_connections=2, full_timeout=0, **TRUSTED) as hubs:
        slow = [RawClient(hubs.address, ONE[:9]) for _ in range(9)]
        try:
            reception = hubs.nodes[0].reception
            hubs.wait_for(lambda: reception.waiting.held_up and len(reception.headers) >= 2)
            assert hubs.ask(lambda: len(reception.headers)) <= 4
            for client in slow:
                client.send(ONE[9:] + raw.OPEN)
            hubs.wait_for(lambda: sum(len(node.connections) for node in hubs.nodes) == 4)
        finally:
            for client in slow:
                client.close()


def test_only_so_many_are_awaited_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorrpc.hub.accepting.reception.MOST", 3)
    assert headers.MOST == 512
    with serving(app, **TRUSTED) as hubs:
        slow = [RawClient(hubs.address, ONE[:9]) for _ in range(5)]
        try:
            reception = hubs.nodes[0].reception
            hubs.wait_for(lambda: reception.waiting.held_up)
            assert hubs.ask(lambda: len(reception.headers)) == 3
            for client in slow:
                client.send(ONE[9:] + raw.OPEN)
            for client in slow:
                client.wait_for(raw.SETTINGS)
        finally:
            for client in slow:
                client.close()


@pytest.mark.parametrize("header", [ONE, TWO, LOCAL], ids=["1", "2", "local"])
def test_one_that_is_refused_for_want_of_room_hears_why(header: bytes) -> None:
    with (
        serving(app, max_connections=1, full_timeout=0.2, **TRUSTED) as hubs,
        RawClient(hubs.address, ONE + raw.OPEN) as served,
    ):
        served.wait_for(raw.SETTINGS)
        with RawClient(hubs.address, header[:7]) as late:
            late.send(header[7:] + raw.OPEN)
            late.send(raw.headers(1, raw.request("Unary"), raw.END_HEADERS | raw.END_STREAM))
            late.wait_for(raw.SETTINGS)
            late.wait_for(raw.HEADERS)
            late.wait_for(raw.GOAWAY)


def test_a_hub_that_stops_waits_for_none_of_them() -> None:
    with serving(app, handshake_timeout=0.0, **TRUSTED) as hubs, RawClient(hubs.address, ONE[:9]) as client:
        hubs.wait_for(lambda: len(hubs.nodes[0].reception.headers) == 1)
        stopped: list[int] = []
        hubs.ask(lambda: hubs.nodes[0].stop(60.0, lambda: stopped.append(1)))
        until(lambda: stopped)
        client.wait_for_end()


def test_what_fails_behind_a_header_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(app, **TRUSTED) as hubs, RawClient(hubs.address, ONE[:9]) as client:
        reception = hubs.nodes[0].reception
        hubs.wait_for(lambda: len(reception.headers) == 1)
        place: Callable[..., None] = reception._place

        def fails(pending: Any) -> None:
            raise RuntimeError("cannot be placed")

        monkeypatch.setattr(reception, "_place", fails)
        client.send(ONE[9:] + raw.OPEN)
        client.wait_for_end()
        monkeypatch.setattr(reception, "_place", place)
        with RawClient(hubs.address, ONE + raw.OPEN) as next_one:
            next_one.wait_for(raw.SETTINGS)
    assert "cannot be placed" in caplog.text
