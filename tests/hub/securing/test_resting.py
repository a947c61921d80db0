"""What seals and opens takes memory: connections at rest have none, and who has gone is not kept for it."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from actorrpc.hub.securing import transport
from tests.apps.shapes import app
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.hub.securing.clients import secure_channel
from tests.support.certificates import Authority, Pair
from tests.support.hubs import Hubs, serving


def warm(hubs: Hubs) -> set[Any]:
    return hubs.ask(lambda: set(transport._warm.transports))


def test_who_has_moved_or_gone_is_not_kept(pair: Pair, authority: Authority) -> None:
    with serving(app, 3, tls_cert=(pair.cert,), tls_key=(pair.key,)) as hubs:
        with secure_channel(hubs.address, authority) as channel:
            for target in (1, 2, 0, 1):
                StatefulStub(channel).Unary(Item())
                assert warm(hubs) == {hubs.connection().pump.transport}
                assert hubs.move(target).why == ""
        hubs.wait_for(lambda: not any(node.connections for node in hubs.nodes))
        assert warm(hubs) == set()


def test_one_at_rest_has_no_ciphers(
    pair: Pair, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "REST", 0.2)
    with (
        serving(app, tls_cert=(pair.cert,), tls_key=(pair.key,)) as hubs,
        secure_channel(hubs.address, authority) as channel,
    ):
        for _ in range(2):
            call(channel)
            records = hubs.connection().pump.transport.records
            hubs.wait_for(lambda records=records: records.outbound.protection._aead is None)
            assert records.inbound.protection._aead is None and warm(hubs) == set()
        call(channel)


def call(channel: grpc.Channel) -> None:
    assert StatefulStub(channel).Unary(Item()).number
