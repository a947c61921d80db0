"""Records that are cheap to send, and bring nothing, have a price; those of ordinary clients have none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actorrpc.tls.limits import Price
from tests.support.tls_client import HANDSHAKE, Client

FULL = 1 << 14


@pytest.mark.parametrize(
    ("send", "price"),
    [
        (lambda client: client.data(b"d" * 9), 0),  # as the shortest frame of HTTP/2
        (lambda client: client.data(b"d" * 100, 100), 0),
        (lambda client: client.data(b"d" * FULL), 0),
        (lambda client: client.data(b""), Price.RECORD),
        (lambda client: client.data(b"d"), Price.RECORD),
        (lambda client: client.data(b"d" * 8), Price.RECORD),
        (lambda client: client.data(b"", FULL), Price.RECORD + FULL // Price.PADDING),
        (lambda client: client.data(b"d" * 9, FULL - 9), FULL // Price.PADDING - 1),
        (lambda client: client.key_update(0), Price.RECORD + Price.KEY_UPDATE),
        (lambda client: client.key_update(1), Price.RECORD + Price.KEY_UPDATE),
        (lambda client: client.record(HANDSHAKE, b"\x18"), Price.RECORD),
        (lambda client: client.alert(90, 1), Price.RECORD),
    ],
)
def test_prices(send: Callable[[Client], bytes], price: int) -> None:
    client = Client()
    layer = client.server()
    layer.receive(send(client))
    assert layer.fault is None
    assert layer.take_work() == price
    assert layer.take_work() == 0
