"""What strangers do to a port where TLS is spoken: a clear answer, bounded work, and nobody else notices."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import grpc
import pytest

import actorrpc
from actorrpc.hub.phase import CLOSING
from tests.apps.shapes import Stateful
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.securing.clients import Wire, dial, openssl, secure_channel
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving
from tests.support.openssl_client import OpenSslClient, client_context
from tests.support.raw import GOAWAY, PING, PREFACE, SETTINGS, frame, frames
from tests.support.waiting import PATIENCE

APP = actorrpc.App([Stateful])
CLIENT_HELLO_AND_MORE = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)


@pytest.fixture
def config(pair: Pair) -> dict[str, Any]:
    return {"tls_cert": (pair.cert,), "tls_key": (pair.key,)}


@pytest.fixture
def hubs(config: dict[str, Any]) -> Iterator[Hubs]:
    with serving(APP, 2, **config) as hubs:
        yield hubs


def rest_of(sock: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while data := sock.recv(65536):
        received += data
    return received


def works(hubs: Hubs, authority: Authority) -> bool:
    with secure_channel(hubs.address, authority) as channel:
        return bool(StatefulStub(channel).Unary(Item(number=1), timeout=PATIENCE).number == 1)


# ---- other protocols


@pytest.mark.parametrize("first", [PREFACE + frame(SETTINGS, 0, 0), PREFACE[:20]], ids=["whole", "a piece"])
def test_http2_in_plaintext_is_told_in_http2(
    hubs: Hubs, authority: Authority, first: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "actorrpc.hub")
    with closing(dial(hubs.address)) as sock:
        sock.sendall(first)
        (goaway,) = frames(rest_of(sock))
    assert goaway[0] == GOAWAY
    assert b"This port speaks TLS" in goaway[3]
    assert "the client speaks HTTP/2, and not TLS" in caplog.text
    assert works(hubs, authority)


def test_a_plaintext_grpc_client_fails_with_the_reason(hubs: Hubs) -> None:
    with grpc.insecure_channel(hubs.address) as channel, pytest.raises(grpc.RpcError) as raised:
        StatefulStub(channel).Unary(Item(), timeout=PATIENCE)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_http1_is_told_in_http1(hubs: Hubs, authority: Authority) -> None:
    with closing(dial(hubs.address)) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = rest_of(sock)
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b"This port speaks TLS, and only that.\n")
    assert works(hubs, authority)


def test_without_h2_there_is_an_alert(hubs: Hubs, authority: Authority) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        Wire(hubs.address, authority, alpn=("http/1.1",))
    assert works(hubs, authority)


def test_garbage_and_silence_end(hubs: Hubs, authority: Authority) -> None:
    for first in (b"\x80garbage", CLIENT_HELLO_AND_MORE, b"\x16\x03\x01\xff\xff" + bytes(100), b"\x16"):
        with closing(dial(hubs.address)) as sock:
            sock.sendall(first)
            sock.shutdown(socket.SHUT_WR)
            rest_of(sock)
    hubs.wait_for(lambda: not hubs.nodes[0].handshakes)
    assert works(hubs, authority)


# ---- slow, and many


def test_a_handshake_has_as_long_as_it_may_take(
    config: dict[str, Any], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "actorrpc.hub")
    client = OpenSslClient(client_context(authority))
    client.feed(b"")
    hello = client.output()
    with serving(APP, handshake_timeout=0.3, **config) as hubs:
        for part in (b"", hello[:1], hello[:100]):
            with closing(dial(hubs.address)) as sock:
                sock.sendall(part)
                assert rest_of(sock) == b""
        assert caplog.text.count("was not waited for") == 3
        assert works(hubs, authority)


def test_those_beyond_the_limit_wait_for_their_turn(config: dict[str, Any], authority: Authority) -> None:
    """Also where those before them say nothing: until their time is over."""
    with serving(APP, max_handshakes=2, handshake_timeout=1.0, **config) as hubs, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(closing(dial(hubs.address)))
        hubs.wait_for(lambda: len(hubs.nodes[0].handshakes._under_way) == 2)
        with secure_channel(hubs.address, authority) as channel:
            asked = StatefulStub(channel).Unary.future(Item(number=1), timeout=PATIENCE)
            hubs.wait_for(lambda: hubs.nodes[0].handshakes._waiting)
            assert asked.result().number == 1


def test_only_so_many_begin_in_a_second(config: dict[str, Any], authority: Authority) -> None:
    with serving(APP, handshake_rate=4, **config) as hubs, ExitStack() as stack:
        began = time.monotonic()
        channels = [stack.enter_context(secure_channel(hubs.address, authority)) for _ in range(8)]
        asked = [StatefulStub(channel).Unary.future(Item(number=1), timeout=PATIENCE) for channel in channels]
        assert [each.result().number for each in asked] == [1] * 8
        assert time.monotonic() - began >= 0.9  # four at once, and four more in the second after that


def test_a_stop_does_not_wait_for_those_that_say_nothing(config: dict[str, Any]) -> None:
    with ExitStack() as stack:
        with serving(APP, **config) as hubs:
            sock = stack.enter_context(closing(dial(hubs.address)))
            hubs.wait_for(lambda: hubs.nodes[0].handshakes)
        assert rest_of(sock) == b""


# ---- after the handshake


def say_broken(wire: Wire) -> bytes:
    """Begin to speak HTTP/2, and send a record with a flipped bit, which is returned."""
    wire.say(PREFACE + frame(SETTINGS, 0, 0))
    wire.hear(9)
    record = bytearray(wire.client.write(frame(PING, 0, 0, bytes(8))))
    record[-3] ^= 1
    wire.sock.sendall(bytes(record))
    return bytes(record)


def test_a_flipped_bit_gets_the_right_alert(
    hubs: Hubs, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "actorrpc.hub")
    with closing(Wire(hubs.address, authority)) as wire:
        say_broken(wire)
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            while True:
                wire.hear(1)
    hubs.wait_for(lambda: not hubs.nodes[0].connections)  # the alert goes before the line of the log
    assert "TLS: " in caplog.text
    assert works(hubs, authority)


def test_a_client_that_goes_on_after_its_fault_is_told_of_once(
    hubs: Hubs, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "actorrpc.hub")
    with closing(Wire(hubs.address, authority)) as wire:
        record = say_broken(wire)
        hubs.wait_for(lambda: any(each.phase.state == CLOSING for each in hubs.nodes[0].connections.values()))
        connection = hubs.connection()
        for _ in range(3):  # as often as it is read
            hubs.ask(lambda: connection.pump.transport.on_bytes(record))
    hubs.wait_for(lambda: not hubs.nodes[0].connections)
    assert caplog.text.count("TLS: ") == 1


def test_what_is_cut_off_is_said(hubs: Hubs, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "actorrpc.hub")
    with closing(Wire(hubs.address, authority)) as wire:
        wire.say(PREFACE + frame(SETTINGS, 0, 0))
        wire.hear(9)
    hubs.wait_for(lambda: not hubs.nodes[0].connections)
    assert "the client has closed it without close_notify" in caplog.text


def test_the_end_is_said_to_the_client(config: dict[str, Any], authority: Authority) -> None:
    """It can tell that nothing was cut off: by close_notify, here after the GOAWAY of a fault."""
    with (
        serving(APP, **config) as hubs,
        openssl(hubs.address, authority) as secure,
    ):
        secure.sendall(b"no preface of HTTP/2's at all")
        secure.suppress_ragged_eofs = False
        received = b""
        while data := secure.recv(65536):
            received += data
        assert received


def test_the_client_s_close_notify_ends_it(hubs: Hubs, authority: Authority) -> None:
    with openssl(hubs.address, authority) as secure:
        secure.sendall(PREFACE + frame(SETTINGS, 0, 0))
        secure.recv(9)
        hubs.wait_for(lambda: hubs.nodes[0].connections)
        with suppress(ssl.SSLError):  # it has not read all
            secure.unwrap()
        hubs.wait_for(lambda: not hubs.nodes[0].connections)


def test_a_client_that_says_all_and_leaves_with_its_handshake(
    hubs: Hubs, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    client = OpenSslClient(client_context(authority))
    client.feed(b"")
    with closing(dial(hubs.address)) as sock:
        while not client.established:
            sock.sendall(client.output())
            client.feed(sock.recv(65536))
        client.tls.write(PREFACE + frame(SETTINGS, 0, 0) + frame(PING, 0, 0, b"12345678"))
        with suppress(ssl.SSLError):
            client.tls.unwrap()
        sock.sendall(client.output())  # the end of the handshake with it
        assert rest_of(sock)
    hubs.wait_for(lambda: not hubs.nodes[0].connections)
    assert "Traceback" not in capfd.readouterr().err, "gevent prints what a watcher raises"
    assert works(hubs, authority)


def test_empty_records_use_up_the_flood_budget(hubs: Hubs, authority: Authority) -> None:
    """Each costs an opening, and brings nothing."""
    limit = hubs.nodes[0].resources.config
    with closing(Wire(hubs.address, authority)) as wire:
        wire.say(PREFACE + frame(SETTINGS, 0, 0))
        wire.hear(9)
        sent = 0
        try:
            while sent < 10 * (limit.flood_burst + limit.flood_rate):
                # One PING in two records each: all pieces are small.
                ping = frame(PING, 0x1, 0, bytes(8))
                wire.sock.sendall(b"".join(wire.client.write(ping[i : i + 1]) for i in range(17)))
                sent += 17
        except OSError:
            pass
        hubs.wait_for(lambda: not hubs.nodes[0].connections)
    assert works(hubs, authority)


def test_tls_1_2_is_served_where_it_is_allowed_and_does_not_move(
    config: dict[str, Any], authority: Authority
) -> None:
    old = {"maximum_version": ssl.TLSVersion.TLSv1_2}
    with (
        serving(APP, 2, tls_min="1.2", **config) as hubs,
        closing(Wire(hubs.address, authority, **old)) as wire,
    ):
        wire.say(PREFACE + frame(SETTINGS, 0, 0))
        wire.hear(9)
        result = hubs.move(1)
        assert (result.outcome, result.why) != (result.MOVED, "")
        assert "it speaks TLS 1.2" in result.why
        (row,) = hubs.ask(hubs.nodes[0].list_connections)
        assert not row.movable and row.why == "it speaks TLS 1.2"
        wire.say(frame(PING, 0, 0, b"12345678"))
        while b"12345678" not in wire.hear(1):
            pass
    with serving(APP, **config) as hubs, pytest.raises(ssl.SSLError):
        Wire(hubs.address, authority, **old)
