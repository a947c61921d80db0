"""What shares a record: as a proxy between client and hub sees it."""

from __future__ import annotations

import struct

from tests.apps.shapes import app
from tests.apps.shapes_pb2 import Item
from tests.hub.securing.clients import secure_channel
from tests.support.certificates import Authority, Pair
from tests.support.hubs import serving
from tests.support.proxy import proxied
from tests.support.waiting import PATIENCE

HEADER = struct.Struct(">BHH")
APPLICATION_DATA = 23

MESSAGES = 200
#: Those of the handshake, of SETTINGS and its acknowledgement, of answers to PINGs, of the call's head and
#: its end.
OTHERS = 20


def test_what_a_turn_sends_is_in_one_record(authority: Authority, pair: Pair) -> None:
    with (
        serving(app, tls_cert=(pair.cert,), tls_key=(pair.key,)) as hubs,
        proxied(hubs.address) as proxy,
        secure_channel(proxy.address, authority) as channel,
    ):
        expand = channel.unary_stream("/shapes.Stateful/Expand", Item.SerializeToString, Item.FromString)
        replies = list(expand(Item(number=MESSAGES), timeout=PATIENCE))
        assert len(replies) == MESSAGES
        [(_, answered)] = proxy.connections
        assert 2 <= len(sizes(bytes(answered))) <= OTHERS


def sizes(said: bytes) -> list[int]:
    """Of the sealed records in what one side has said."""
    found, at = [], 0
    while at + HEADER.size <= len(said):
        type_, _, length = HEADER.unpack_from(said, at)
        if type_ == APPLICATION_DATA:
            found.append(length)
        at += HEADER.size + length
    return found
