"""What a stranger can have a hub do has a price, and docs/evidence/prices.md says which."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

import actorrpc
from actorrpc.pb import control_pb2
from actorrpc.wire.flood import Price
from tests.apps.shapes_actorrpc import StatelessBase
from tests.apps.shapes_pb2 import Item
from tests.apps.strangers import guarded_app, open_app
from tests.support import raw
from tests.support.hubs import Hubs, serving
from tests.support.priced_kinds import (
    EMPTY,
    GZIP,
    KINDS,
    LIMITS,
    Kind,
    documented_prices,
    ids_of,
    opened,
    request,
    whole,
)
from tests.support.raw_client import RawClient

MANY = 40
#: A header block may cost so much less beside others: up to 512 bytes it costs as if it were Huffman code.
SMALL = 512 / Price.CODED_BYTES
BOTH = raw.END_HEADERS | raw.END_STREAM
CODED = b"\0" + raw.literal("x") + raw.huffman(b"!" * 1900)
#: The PING that asks whether all has been seen.
PING = 5


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[bool, Hubs]]:
    with serving(open_app, **LIMITS) as anybody, serving(guarded_app, **LIMITS) as guarded:
        yield {False: anybody, True: guarded}


def begins_a_call(kind: Kind) -> bool:
    """Whether each of a kind begins with a header block in one frame."""
    data = kind.write(1)
    return bool(kind.calls) and data[3] == raw.HEADERS and bool(data[4] & raw.END_HEADERS)


def paid(hubs: Hubs) -> float:
    flood = hubs.connection().session.flood
    return hubs.ask(lambda: flood.spent + flood.unsettled)


def settle(hubs: Hubs, client: RawClient) -> None:
    """Wait until all that was sent has been seen, and nothing of it is left to run."""
    client.send(raw.frame(raw.PING, 0, 0, b"are all?"))
    while client.wait_for(raw.PING, raw.ACK)[3] != b"are all?":
        pass
    connection: Any = hubs.connection()
    hubs.wait_for(lambda: connection.finished and not connection.schedule.has_ready)


def price(hubs: Hubs, kind: Kind) -> float:
    """What each of many costs, in units."""
    with RawClient(hubs.address, raw.OPEN + raw.window_update(0, 1 << 24) + kind.begin) as client:
        settle(hubs, client)
        before = paid(hubs)
        client.send(b"".join(kind.write(ids_of(kind, number)) for number in range(MANY)))
        settle(hubs, client)
        found = (paid(hubs) - before - PING) / MANY
        client.close()
        hubs.wait_for(lambda: not any(node.connections for node in hubs.nodes))
    return found


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_the_price_that_the_docs_name(servers: dict[bool, Hubs], name: str) -> None:
    kind = KINDS[name]
    found = price(servers[kind.guarded], kind)
    assert found > 0
    assert documented_prices()[name] == round(found)


def heavier(data: bytes) -> bytes:
    """The same, with 2 kB of Huffman code more in its first header block."""
    (type_, flags, id, payload), *rest = raw.frames(data)
    assert type_ == raw.HEADERS and flags & raw.END_HEADERS
    frames = (type_, flags, id, payload + CODED), *rest
    return b"".join(raw.frame(*each) for each in frames)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if begins_a_call(kind)])
def test_a_call_that_is_not_served_pays_for_its_header_block(servers: dict[bool, Hubs], name: str) -> None:
    kind = KINDS[name]
    found = price(servers[kind.guarded], replace(kind, write=lambda id: heavier(kind.write(id))))
    assert found - documented_prices()[name] > len(CODED) / Price.CODED_BYTES - SMALL


@pytest.mark.parametrize(
    "end",
    (
        lambda id: raw.frame(raw.HEADERS, BOTH, id, CODED),
        lambda id: raw.frame(raw.HEADERS, BOTH, id, raw.block([(":path", "/")]) + CODED),
        lambda id: raw.frame(raw.HEADERS, raw.END_HEADERS, id, CODED),
    ),
    ids=("no message", "malformed trailers", "trailers without END_STREAM"),
)
def test_and_for_its_trailers(servers: dict[bool, Hubs], end: Callable[[int], bytes]) -> None:
    found = price(servers[False], Kind(lambda id: opened(id) + end(id)))
    assert found > len(CODED) / Price.CODED_BYTES


def test_a_body_that_is_not_what_the_headers_name_has_the_price_of_these(servers: dict[bool, Hubs]) -> None:
    def write(id: int) -> bytes:
        head = raw.headers(id, request("Stateless/Unary", ("content-length", "5")), BOTH)
        return heavier(head)

    assert price(servers[False], Kind(write)) > len(CODED) / Price.CODED_BYTES


def test_the_docs_name_no_other() -> None:
    assert set(documented_prices()) == set(KINDS)


def test_a_call_that_a_handler_has_had_is_served_after_a_move_too() -> None:
    with serving(open_app, 2, **LIMITS) as hubs, RawClient(hubs.address) as client:
        head = opened(1, ("grpc-timeout", "500m"), path="Stateless/Talk")
        client.send(head + raw.data(1, EMPTY))
        client.wait_for(raw.DATA)
        before = paid(hubs)
        assert hubs.move(1).outcome == control_pb2.MoveResult.MOVED
        client.wait_for(raw.HEADERS, raw.END_STREAM)  # the deadline has passed
        assert paid(hubs) == before


class Slides(StatelessBase):
    """Goes on where it was after a move."""

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Iterator[Item]:
        for number in range(int(call.cursor or b"0"), 1000):
            call.cursor = b"%d" % (number + 1)
            yield Item(number=number, body=bytes(1000))


def test_a_message_that_a_move_has_handled_again_is_paid_for_once() -> None:
    bomb = gzip.compress(Item(body=bytes(90_000)).SerializeToString(), mtime=0)
    begin = raw.PREFACE + raw.settings((raw.INITIAL_WINDOW_SIZE, 7))
    call = whole(1, GZIP, path="Stateless/Expand", message=raw.message(bomb, 1))
    with (
        serving(actorrpc.App([Slides]), 2, **LIMITS) as hubs,
        RawClient(hubs.address, begin + call) as client,
    ):
        client.wait_for(raw.DATA)
        before = paid(hubs)
        assert before > 500
        for target in (1, 0, 1):
            assert hubs.move(target).why == ""
            hubs.wait_for(lambda: any(call.iterator for call in hubs_calls(hubs)))
        assert paid(hubs) == before


def hubs_calls(hubs: Hubs) -> list[Any]:
    """The open calls, for whoever asks in the hubs' loop."""
    return [call for node in hubs.nodes for each in node.connections.values() for call in each.calls.values()]
