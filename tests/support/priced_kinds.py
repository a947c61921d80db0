"""Whatever a stranger can have a server do that serves no call, kind by kind: each has a price.

``tests/hub/metering/test_prices.py`` holds the prices, and docs/evidence/prices.md shows them;
``python -m benchmarks.prices`` measures what each takes of a hub.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.apps.shapes_pb2 import Item
from tests.support import raw

__all__ = ["EMPTY", "KINDS", "LIMITS", "Kind", "documented_prices", "ids_of", "opened"]

DOCS = Path(__file__).parents[2] / "docs" / "evidence" / "prices.md"

#: What both servers are told, so that limits are met with few bytes.
LIMITS: dict[str, Any] = {
    "max_receive_message_bytes": 100_000,
    "max_header_list_bytes": 16_384,
    "max_identities": 1,
    "permit_keepalive_time": 0,
    "shared_connections": "refuse",
    "flood_burst": 0,
    "flood_rate": 0,
}

BOTH = raw.END_HEADERS | raw.END_STREAM
EMPTY = raw.message(b"")


@dataclass(frozen=True)
class Kind:
    """``write`` gives the bytes of one, which begins so many calls from that stream on. ``begin``: what comes
    before all of them, with ``first`` calls. ``guarded``: by the app that asks whose each call is."""

    write: Callable[[int], bytes]
    calls: int = 1
    begin: bytes = b""
    first: int = 0
    guarded: bool = False


def ids_of(kind: Kind, number: int) -> int:
    """The first stream of the ``number``th."""
    return 1 + 2 * (kind.first + number * kind.calls)


def documented_prices() -> dict[str, int]:
    """The rows of the table: what, its bytes, its CPU and its price."""
    rows = re.findall(r"^\| ([^|]+?) \| [\d.,]+ \| [\d.,]+ \| ([\d,]+) \|$", DOCS.read_text(), re.M)
    return {name: int(units.replace(",", "")) for name, units in rows}


def request(path: str = "Stateless/Unary", *extra: tuple[str, str]) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", f"/shapes.{path}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *extra,
    ]


def opened(id: int, *extra: tuple[str, str], path: str = "Stateless/Unary") -> bytes:
    return raw.headers(id, request(path, *extra))


def whole(id: int, *extra: tuple[str, str], path: str = "Stateless/Unary", message: bytes = EMPTY) -> bytes:
    return opened(id, *extra, path=path) + raw.data(id, message, raw.END_STREAM)


#: 11 kB of Huffman code.
CODED = b"\0" + raw.literal("x") + raw.huffman(b"!" * 9000)
FIELDS = raw.block([(f"x-{number}", "y") for number in range(300)])
GET = b"\x82\x86\x84"
NO_GRPC = b"\x83\x86\x84"
BOMB = gzip.compress(bytes(90_000), mtime=0)
OVER = gzip.compress(bytes(100_001), mtime=0)
#: Its last byte breaks off. It comes to less than 64 times its own size.
NO_PROTOBUF = gzip.compress(
    Item(body=Random(1).randbytes(1500)).SerializeToString() + b"\x12\0" * 48_500 + b"\x12",
    mtime=0,
)
GZIP = ("grpc-encoding", "gzip")
LARGE = [("x", "y" * 1000)] * 17
WRONG = raw.message(Item(text="wrong").SerializeToString())
#: A million replies for a client that takes them by the byte.
REPLIES = raw.message(Item(number=1_000_000, body=bytes(10_000)).SerializeToString())
DRIBBLED = raw.settings((raw.INITIAL_WINDOW_SIZE, 0)) + whole(1, path="Stateless/Expand", message=REPLIES)


def on_first(frame: bytes, *, ended: bool = False) -> Kind:
    """The same frame again and again, beside or on a call that is open, or was refused."""
    first = opened(1, path="Stateless/Talk") if not ended else raw.frame(raw.HEADERS, BOTH, 1, GET)
    return Kind(lambda id: frame, 0, first, 1)


KINDS: dict[str, Kind] = {
    # Frames that serve no call.
    "PING": on_first(raw.frame(raw.PING, 0, 0, bytes(8))),
    "SETTINGS": on_first(raw.settings()),
    "SETTINGS ACK": on_first(raw.frame(raw.SETTINGS, raw.ACK, 0)),
    "PRIORITY": on_first(raw.frame(raw.PRIORITY, 0, 1, bytes(4) + b"\x01")),
    "GOAWAY": on_first(raw.frame(raw.GOAWAY, 0, 0, bytes(8))),
    "a frame of an unknown type": on_first(raw.frame(0x42, 0, 0)),
    "empty DATA": on_first(raw.data(1, b"")),
    "a byte of a message": Kind(
        lambda id: raw.data(1, b"a"), 0, opened(1, path="Stateless/Talk") + raw.data(1, b"\0\0\1\0\0"), 1
    ),
    "a byte of a reply": Kind(lambda id: raw.window_update(1, 1), 0, DRIBBLED, 1),
    "RST_STREAM of a closed stream": on_first(raw.frame(raw.RST_STREAM, 0, 1, bytes(4)), ended=True),
    "DATA on a closed stream": on_first(raw.data(1, b"late"), ended=True),
    "trailers on a closed stream": on_first(raw.headers(1, [("late", "yes")], BOTH), ended=True),
    "the same, with 11 kB of Huffman code": on_first(raw.frame(raw.HEADERS, BOTH, 1, CODED), ended=True),
    "the same, with 300 fields": on_first(raw.frame(raw.HEADERS, BOTH, 1, FIELDS), ended=True),
    # Calls that end by RST_STREAM.
    "a call that is cancelled": Kind(lambda id: opened(id) + raw.frame(raw.RST_STREAM, 0, id, bytes(4))),
    "a malformed request": Kind(lambda id: opened(id, ("connection", "close"))),
    "a second HEADERS": Kind(lambda id: opened(id) + opened(id)),
    # Calls that are answered, and that no handler had.
    "GET": Kind(lambda id: raw.frame(raw.HEADERS, BOTH, id, GET)),
    "a content-type that is not gRPC's": Kind(lambda id: raw.frame(raw.HEADERS, BOTH, id, NO_GRPC)),
    "an unknown method": Kind(lambda id: raw.headers(id, request("Stateless/No"), BOTH)),
    "an unknown method of 126 bytes 0xff": Kind(lambda id: raw.headers(id, request("\xff" * 126), BOTH)),
    "an unknown method, and 11 kB of Huffman code": Kind(
        lambda id: raw.frame(raw.HEADERS, BOTH, id, raw.block(request("Stateless/No")) + CODED)
    ),
    "an unknown encoding": Kind(lambda id: whole(id, ("grpc-encoding", "br"))),
    "a malformed timeout": Kind(lambda id: whole(id, ("grpc-timeout", "soon"))),
    "a timeout of 0": Kind(lambda id: opened(id, ("grpc-timeout", "0n"))),
    "no message": Kind(lambda id: raw.headers(id, request(), BOTH)),
    "two messages, where there is one": Kind(lambda id: whole(id, message=EMPTY + EMPTY)),
    "headers over the limit": Kind(
        lambda id: raw.long_headers(id, raw.block(request("Stateless/Unary", *LARGE)), raw.END_STREAM)
    ),
    "trailers over the limit": Kind(
        lambda id: opened(id) + raw.long_headers(id, raw.block(LARGE), raw.END_STREAM)
    ),
    "a message over the limit": Kind(lambda id: opened(id) + raw.data(id, b"\0\0\x10\0\0")),
    "a message with unknown flags": Kind(lambda id: opened(id) + raw.data(id, b"\2\0\0\0\0")),
    "a compressed message without an encoding": Kind(lambda id: opened(id) + raw.data(id, b"\1\0\0\0\0")),
    "a message that is cut short": Kind(lambda id: whole(id, message=b"\0\0\0\0\1")),
    "a message that is not Protobuf": Kind(lambda id: whole(id, message=raw.message(b"\xff" * 9))),
    "a message that is not gzip": Kind(lambda id: whole(id, GZIP, message=raw.message(b"no gzip", 1))),
    "a message of 90 kB out of 120 bytes": Kind(lambda id: whole(id, GZIP, message=raw.message(BOMB, 1))),
    "the same, over the limit of messages": Kind(lambda id: whole(id, GZIP, message=raw.message(OVER, 1))),
    "98 kB out of 1.8 kB that are not Protobuf": Kind(
        lambda id: whole(id, GZIP, message=raw.message(NO_PROTOBUF, 1))
    ),
    "the same, and not gzip": Kind(
        lambda id: whole(id, GZIP, message=raw.message(NO_PROTOBUF[:-8] + bytes(8), 1))
    ),
    "an actor that cannot be made": Kind(lambda id: whole(id, path="Stateful/Unary")),
    "refused, since clients share the connection": Kind(
        lambda id: whole(id, ("via", "2 proxy"), path="Stateful/Unary")
    ),
    "refused by an interceptor": Kind(lambda id: whole(id, ("token", "wrong")), guarded=True),
    "refused by on_request": Kind(lambda id: whole(id, message=WRONG), guarded=True),
    "refused by App(identity=...)": Kind(lambda id: whole(id, ("name", "nobody")), guarded=True),
}
