"""Clients that speak TLS, and do not read: what is sealed for them and waits is bounded, and all of it is
right once they read."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

import actorrpc
from actorrpc.net.pump import OUTPUT_HIGH
from actorrpc.net.transport import READ_BYTES
from actorrpc.tls.limits import MAX_CONTENT
from actorrpc.wire.outbound import PORTION
from tests.apps.shapes import Stateful, Stateless
from tests.apps.shapes_pb2 import Item
from tests.hub.securing.clients import Wire
from tests.support import raw
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving

APP = actorrpc.App([Stateless, Stateful])
#: Windows that take whatever comes.
WIDE = raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 2**31 - 1)) + raw.window_update(0, 2**30)
KB, MB = 1024, 1024 * 1024
CALLS, REPLIES, SIZE = 30, 100, 10 * KB


@pytest.fixture
def config(pair: Pair) -> dict[str, Any]:
    return {"tls_cert": (pair.cert,), "tls_key": (pair.key,)}


def expand(stream: int, service: str) -> bytes:
    """A call that is to be answered with many replies."""
    item = Item(number=REPLIES, body=bytes(SIZE)).SerializeToString()
    path = f"/shapes.{service}/Expand"
    fields = [(name, path if name == ":path" else value) for name, value in raw.request("")]
    return raw.headers(stream, fields) + raw.data(stream, raw.message(item), raw.END_STREAM)


def sealed(size: int) -> int:
    """The most that so many bytes are in records."""
    return size + 22 * (size // MAX_CONTENT + 2)


class Watched:
    """The most that has waited, sealed and not, whenever it was looked at."""

    def __init__(self, hubs: Hubs) -> None:
        self.hubs = hubs
        self.connection = hubs.connection()
        self.sealed = self.waiting = 0

    def look(self) -> bool:
        """Whether the socket takes no more."""
        pump = self.connection.pump
        self.sealed = max(self.sealed, pump.transport.unsent + len(pump.transport.records.outbound.waiting))
        self.waiting = max(self.waiting, pump.waiting)
        return not pump.transport.ready


def replies(wire: Wire, calls: int) -> dict[int, list[int]]:
    """The numbers of the replies by stream, read until so many calls have ended."""
    splitter, bodies, ended = raw.Splitter(), dict[int, bytearray](), 0
    while ended < calls:
        for type_, flags, stream, payload in splitter.split(wire.hear(1)):
            if type_ == raw.DATA:
                bodies.setdefault(stream, bytearray()).extend(payload)
            ended += bool(type_ == raw.HEADERS and flags & raw.END_STREAM)
    return {stream: [each.number for each in items(bytes(body))] for stream, body in bodies.items()}


def items(body: bytes) -> list[Item]:
    found = []
    while body:
        end = 5 + int.from_bytes(body[1:5], "big")
        found.append(Item.FromString(body[5:end]))
        body = body[end:]
    return found


def test_iterables_are_not_pulled_and_little_is_sealed(config: dict[str, Any], authority: Authority) -> None:
    with (
        serving(APP, **config) as hubs,
        closing(Wire(hubs.address, authority, receive_buffer=4 * KB)) as wire,
    ):
        wire.say(WIDE)
        watched = Watched(hubs)
        for number in range(CALLS):
            wire.say(expand(1 + 2 * number, "Stateless"))
            hubs.ask(watched.look)
        hubs.wait_for(lambda: watched.look() and len(watched.connection.calls) == CALLS)
        found = replies(wire, CALLS)
        hubs.ask(watched.look)
    assert found == {1 + 2 * number: list(range(REPLIES)) for number in range(CALLS)}
    assert watched.sealed <= sealed(PORTION + 2 * SIZE)
    assert watched.waiting <= 3 * MB, "of 30 MB"


def test_what_an_actor_sends_at_once_is_sealed_when_it_is_taken(
    config: dict[str, Any], authority: Authority
) -> None:
    """What waits is the limits', as without TLS: calls beyond them have ended, and the others are whole."""
    most = 4 * MB
    limits = {"max_unsent_connection_bytes": most, "max_unsent_bytes": 2 * MB}
    with (
        serving(APP, **config, **limits) as hubs,
        closing(Wire(hubs.address, authority, receive_buffer=4 * KB)) as wire,
    ):
        wire.say(WIDE)
        watched = Watched(hubs)
        for number in range(CALLS):
            wire.say(expand(1 + 2 * number, "Stateful"))
            hubs.ask(watched.look)
        hubs.wait_for(lambda: watched.look() and not watched.connection.cells.busy)
        found = replies(wire, CALLS)
        hubs.ask(watched.look)
    assert watched.sealed <= sealed(PORTION + 2 * SIZE)
    assert watched.waiting <= sealed(most + 2 * MB)
    whole = [numbers for numbers in found.values() if len(numbers) == REPLIES]
    assert whole and len(whole) < CALLS
    assert all(numbers == list(range(len(numbers))) for numbers in found.values())


def test_answers_to_pings_do_not_pile_up(config: dict[str, Any], authority: Authority) -> None:
    """Nothing more is read, also where no budget ends the connection; and all are answered once it reads."""
    with (
        serving(APP, flood_burst=0, permit_keepalive_time=0.0, **config) as hubs,
        closing(Wire(hubs.address, authority, receive_buffer=4 * KB)) as wire,
    ):
        wire.say(raw.OPEN)
        watched = Watched(hubs)
        wire.sock.settimeout(0.5)  # a socket that takes nothing for so long is full
        sent, unsent = 0, b""
        while not unsent and sent < 3_000_000:
            unsent = say_as_much_as_it_takes(wire, raw.frame(raw.PING, 0, 0, b"12345678") * 1000)
            sent += 1000
            hubs.ask(watched.look)
        assert unsent, "it reads on"
        most = OUTPUT_HIGH + 3 * READ_BYTES
        assert watched.waiting <= sealed(most) and watched.sealed <= sealed(most)
        answers = finish(wire, unsent, sent)
        hubs.ask(watched.look)
        assert answers == sent and watched.sealed <= sealed(most)


def say_as_much_as_it_takes(wire: Wire, data: bytes) -> bytes:
    """Returns what of its records the socket has not taken."""
    records = wire.client.write(data)
    try:
        while records:
            records = records[wire.sock.send(records) :]
    except TimeoutError:
        pass
    return records


def finish(wire: Wire, unsent: bytes, pings: int) -> int:
    """Write the rest while reading; returns how many PINGs have been answered."""
    wire.sock.settimeout(0.05)
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MB)
    splitter, answers = raw.Splitter(), 0
    while answers < pings:
        if unsent:
            try:
                unsent = unsent[wire.sock.send(unsent) :]
            except TimeoutError:
                pass
        else:
            wire.sock.settimeout(60)
        try:
            data = wire.hear(1)
        except TimeoutError:
            continue
        answers += sum(each[0] == raw.PING for each in splitter.split(data))
    return answers
