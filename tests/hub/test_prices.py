"""What a stranger can have a hub do has a price, and docs/limits.md says which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actorrpc.pb import control_pb2
from tests.apps.strangers import guarded_app, open_app
from tests.hostile.kinds import EMPTY, KINDS, LIMITS, Kind, documented_prices, ids_of, opened
from tests.hub.raw_client import RawClient, raw_client
from tests.hub.serving import Hubs, serving
from tests.wire import raw

MANY = 40
#: The PING that asks whether all has been seen.
PING = 5


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[bool, Hubs]]:
    with serving(open_app, **LIMITS) as anybody, serving(guarded_app, **LIMITS) as guarded:
        yield {False: anybody, True: guarded}


def paid(hubs: Hubs) -> float:
    flood = hubs.connection().session.flood
    return hubs.ask(lambda: flood.spent + flood.unsettled)


def settle(hubs: Hubs, client: RawClient) -> None:
    """Wait until all that was sent has been seen, and nothing of it is left to run."""
    client.send(raw.frame(raw.PING, 0, 0, b"are all?"))
    while client.wait_for(raw.PING, raw.ACK)[3] != b"are all?":
        pass
    connection: Any = hubs.connection()
    hubs.wait_for(lambda: connection._finished and not connection._ready)


def price(hubs: Hubs, kind: Kind) -> float:
    """What each of many costs, in units."""
    with raw_client(hubs.address, raw.OPEN + raw.window_update(0, 1 << 24) + kind.begin) as client:
        settle(hubs, client)
        before = paid(hubs)
        client.send(b"".join(kind.write(ids_of(kind, number)) for number in range(MANY)))
        settle(hubs, client)
        found = (paid(hubs) - before - PING) / MANY
        client.sock.close()
        hubs.wait_for(lambda: not any(node.connections for node in hubs.nodes))
    return found


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_the_price_that_the_docs_name(servers: dict[bool, Hubs], name: str) -> None:
    kind = KINDS[name]
    found = price(servers[kind.guarded], kind)
    assert found > 0
    assert documented_prices()[name] == round(found)


def test_the_docs_name_no_other() -> None:
    assert set(documented_prices()) == set(KINDS)


def test_a_call_that_a_handler_has_had_is_served_after_a_move_too() -> None:
    with serving(open_app, 2, **LIMITS) as hubs, raw_client(hubs.address) as client:
        head = opened(1, ("grpc-timeout", "500m"), path="Stateless/Talk")
        client.send(head + raw.data(1, EMPTY))
        client.wait_for(raw.DATA)
        before = paid(hubs)
        assert hubs.move(1).outcome == control_pb2.MoveResult.MOVED
        client.wait_for(raw.HEADERS, raw.END_STREAM)  # the deadline has passed
        assert paid(hubs) == before
