"""Clients that take their time: what they make the server keep is bounded, and the others are served."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.apps.shapes_pb2 import Item
from tests.hostile.attacker import ENHANCE_YOUR_CALM, NO_ERROR, SHUT, WIDE, Attacker, Requests
from tests.hostile.hub import MB, Hub
from tests.support import raw

OK, RESOURCE_EXHAUSTED = 0, 8

#: Seconds that a client has for its preface and SETTINGS.
HANDSHAKE = 1
#: What may wait on all calls of one connection.
UNSENT = 16 * MB


@pytest.fixture(scope="module")
def options() -> tuple[str, ...]:
    return (
        "--handshake-timeout",
        str(HANDSHAKE),
        "--max-unsent-connection-bytes",
        str(UNSENT),
    )


# ---- slow handshake

HANDSHAKES = {
    "nothing": b"",
    "half a preface": raw.PREFACE[:12],
    "no settings": raw.PREFACE,
    "half of settings": raw.OPEN[:-1],
}


@pytest.mark.parametrize("name", HANDSHAKES)
def test_slow_handshake(hub: Hub, name: str):
    """Slowloris: 200 connections that never come to their first SETTINGS are closed after the timeout."""
    with hub.unharmed(lines=200), ExitStack() as opened:
        began = time.monotonic()
        attackers = [opened.enter_context(Attacker(hub.address, HANDSHAKES[name])) for _ in range(200)]
        for attacker in attackers:
            attacker.wait_closed(HANDSHAKE + 5)
        assert time.monotonic() - began > HANDSHAKE / 2


def test_a_handshake_by_the_byte_is_no_progress(hub: Hub):
    """The timeout is for the whole handshake: a byte now and then does not put it off."""
    with Attacker(hub.address, b"") as attacker:
        began = time.monotonic()
        for byte in raw.PREFACE * 100:
            if attacker.ended or time.monotonic() - began > HANDSHAKE + 5:
                break
            attacker.send(bytes((byte,)))
            try:
                attacker.wait(lambda: False, 0.1)
            except AssertionError:
                pass  # nothing came: go on
        assert attacker.ended or attacker.goaway


# ---- slow body


def test_slow_bodies(hub: Hub):
    """100 connections, each with a message that comes by the byte and never ends: bytes kept, no more."""
    with hub.unharmed(), ExitStack() as opened:
        attackers = [opened.enter_context(Attacker(hub.address)) for _ in range(100)]
        for attacker in attackers:
            requests = Requests()
            attacker.send(requests.open() + raw.data(1, (4 * MB).to_bytes(5, "big")))
        for _ in range(50):
            for attacker in attackers:
                attacker.send(raw.data(1, b"x"))
        assert not any(attacker.ended for attacker in attackers)


def test_large_messages_announced(hub: Hub):
    """1000 calls announce 4 MB each and send one byte: a prefix is no reason to keep room."""
    requests = Requests()
    with hub.unharmed(memory=24 * MB), Attacker(hub.address) as attacker:
        for _ in range(1000):
            attacker.send(requests.open() + raw.data(requests.last, (4 * MB).to_bytes(5, "big") + b"x"))
        requests.open()
        attacker.send(raw.settings())
        attacker.wait(lambda: attacker.seen[raw.SETTINGS] >= 3)
        assert attacker.goaway is None


def test_large_messages_that_never_end(hub: Hub):
    """1000 calls send all but the last byte of a message of 200 kB, within every window.

    A window is given back for an incomplete message, since it may be larger; so something else has to bound
    what all calls of a connection hold. 200 MB on one connection are too much.
    """
    size = 200_000
    requests = Requests()
    part = bytes(10_000)
    with hub.unharmed(cpu=5, memory=80 * MB), Attacker(hub.address) as attacker:
        attacker.wait(lambda: attacker.granted[0])
        used = 0
        for _ in range(1000):
            attacker.send(requests.open() + raw.data(requests.last, (size + 1).to_bytes(5, "big")))
            attacker.send(raw.data(requests.last, part) * (size // len(part)))
            used += size + 5
            if 65_535 + attacker.granted[0] - used < 2 * size:
                try:
                    attacker.wait(lambda used=used: 65_535 + attacker.granted[0] - used > 2 * size, 3)
                except AssertionError:
                    break  # the connection's window stays shut: that is a bound
            if attacker.ended or attacker.goaway or attacker.fields:
                break


def test_small_messages_for_a_blocked_actor(hub: Hub):
    """5 bytes of window each, for an actor that takes none: their number is bounded, not only their bytes.

    The server may stop reading: then a PING would tell nobody, and the sender just waits.
    """
    requests = Requests()
    blocked = raw.message(Item(sleep=5).SerializeToString())
    small = raw.message(b"") * 3000

    def flood() -> Iterator[bytes]:
        yield requests.open("Stateful/Talk") + raw.data(1, blocked)
        for _ in range(16):  # streams, with a window of 262,144 bytes each; the connection's is 4 MB
            yield requests.open("Stateful/Talk") + raw.data(requests.last, small) * 17

    with hub.unharmed(cpu=5, memory=32 * MB), Attacker(hub.address) as attacker:
        attacker.wait(lambda: attacker.granted[0])
        attacker.flood(flood(), seconds=3)


@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_client_that_goes_while_it_is_not_read(hub: Hub, how: str):
    """It fills a mailbox until the server stops reading, and has gone when the handler goes on.

    What the server then does with the socket must not reach a descriptor that is closed.
    """
    requests = Requests()
    blocked = raw.message(Item(sleep=0.7).SerializeToString())
    with hub.unharmed(lines=0):
        with Attacker(hub.address) as attacker:
            attacker.send(requests.open("Stateful/Talk") + raw.data(1, blocked))
            attacker.flood([raw.data(1, raw.message(b"") * 3000)] * 8)
            attacker.abort() if how == "reset" else attacker.close()
        hub.server.wait_for(lambda: hub.server.status()["hubs"][0]["connections"] == 1)


# ---- slow reader


def expand(requests: Requests, service: str, count: int, size: int) -> bytes:
    item = Item(number=count, body=bytes(size)).SerializeToString()
    return requests.call(item, f"{service}/Expand")


@pytest.mark.parametrize("service", ["Stateless", "Stateful"])
@pytest.mark.parametrize("opening", [raw.OPEN, SHUT, WIDE], ids=["default", "shut", "wide"])
def test_slow_reader(hub: Hub, service: str, opening: bytes):
    """CVE-2019-9517: 60 calls ask for 6 MB each, and nothing is read.

    ``Stateful`` sends all at once, and is stopped by the limits on what waits, ``Stateless`` returns an
    iterable, which is not pulled. A wide window moves the bytes from the calls to the socket, no more.
    """
    requests = Requests()
    with (
        hub.unharmed(cpu=6, memory=UNSENT + 64 * MB),
        Attacker(hub.address, opening, receive_buffer=4096) as attacker,
    ):
        attacker.flood((expand(requests, service, 600, 10_000) for _ in range(60)), read=False)
        hub.bystander.take(200)


def test_zero_windows_held_for_ever(hub: Hub):
    """CVE-2019-9511, -9517: all 1000 calls have a reply that the window does not take; more are refused.

    The server keeps the replies and the calls, and nothing else, and sends them when the window opens.
    """
    requests = Requests()
    item = Item(body=bytes(1000)).SerializeToString()
    with hub.unharmed(memory=32 * MB), Attacker(hub.address, SHUT) as attacker:
        for _ in range(1010):
            attacker.send(requests.call(item))
        attacker.wait(lambda: len(attacker.resets) == 10)
        assert set(attacker.reset_codes) == {7}  # REFUSED_STREAM: the client may try again
        hub.bystander.take(100)
        assert not attacker.received
        attacker.send(raw.settings((raw.INITIAL_WINDOW_SIZE, 65_535)) + raw.window_update(0, 2**30))
        attacker.wait(lambda: sum("grpc-status" in each for each in attacker.fields.values()) == 1000)


def test_windows_opened_by_the_byte(hub: Hub):
    """CVE-2019-9511: a reply of 1 MB in DATA frames of one byte, each for a WINDOW_UPDATE of one."""
    requests = Requests()
    with hub.unharmed(cpu=5), Attacker(hub.address, SHUT) as attacker:
        attacker.send(raw.window_update(0, 2**30) + expand(requests, "Stateful", 100, 10_000))
        attacker.flood(raw.window_update(1, 1) for _ in range(500_000))
        attacker.wait(lambda: attacker.goaway or attacker.received[1] == 500_000, 20)
        assert attacker.goaway is None or attacker.goaway[0] == ENHANCE_YOUR_CALM


# ---- what is left of those that have gone


def test_connections_that_come_and_go(hub: Hub):
    """1000 connections, each cut off in the middle of calls of all kinds: nothing of them stays."""
    blocked = Item(sleep=0.05, body=bytes(10_000)).SerializeToString()
    with hub.unharmed(cpu=6, memory=32 * MB, lines=0):
        for _ in range(1000):
            requests = Requests()
            with Attacker(hub.address) as attacker:
                attacker.send(
                    requests.call(blocked)
                    + requests.call(blocked, "Stateful/Unary")
                    + requests.call(blocked, "Stateful/Unary")
                    + requests.open("Stateful/Talk")
                    + raw.data(requests.last, raw.message(bytes(5000))[:-1])
                )
        hub.server.wait_for(lambda: hub.server.status()["hubs"][0]["connections"] == 1)


def test_goaway_of_the_client_is_no_hold(hub: Hub):
    """A client that says GOAWAY and stays is served like any other, and may go when it likes."""
    requests = Requests()
    with Attacker(hub.address) as attacker:
        attacker.send(raw.frame(raw.GOAWAY, 0, 0, bytes(8)) + requests.call())
        assert attacker.status(1) == OK
        attacker.end().wait_closed()
        assert attacker.goaway is None or attacker.goaway[0] == NO_ERROR
