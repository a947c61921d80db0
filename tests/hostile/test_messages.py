"""Messages that are none: the call ends with a status, and nothing else does."""

from __future__ import annotations

import gzip
import zlib
from functools import cache

import pytest

from tests.hostile.attacker import ENHANCE_YOUR_CALM, WIDE, Attacker, Requests
from tests.hostile.hub import MB, Hub, lines_since
from tests.support import raw

OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 8, 12, 13

END = raw.END_STREAM

#: Tag of a field of shapes.Item: number 1, text 2, body 3, sleep 4.
NUMBER, TEXT, BODY, SLEEP = 0x08, 0x12, 0x1A, 0x21
GROUP_BEGINS = b"\x7b"  # field 15

#: DATA of a unary call, and the status that ends it.
MESSAGES: dict[str, tuple[bytes, int]] = {
    "bad UTF-8 in a string": (raw.message(bytes((TEXT, 2, 0xC3, 0x28))), INTERNAL),
    "surrogate in a string": (raw.message(bytes((TEXT, 3, 0xED, 0xA0, 0x80))), INTERNAL),
    "overlong NUL in a string": (raw.message(bytes((TEXT, 2, 0xC0, 0x80))), INTERNAL),
    "field without its value": (raw.message(bytes((NUMBER,))), INTERNAL),
    "string longer than the message": (raw.message(bytes((TEXT, 100, 0x61))), INTERNAL),
    "length of 4 GB": (raw.message(bytes((BODY, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F))), INTERNAL),
    "varint of 11 bytes": (raw.message(bytes((NUMBER, *(0xFF,) * 10, 1))), INTERNAL),
    "field number 0": (raw.message(b"\0\0"), INTERNAL),
    "wire type 7": (raw.message(b"\x0f\0"), INTERNAL),
    "end of a group that never began": (raw.message(b"\x7c"), INTERNAL),
    "100,000 groups in each other": (raw.message(GROUP_BEGINS * 100_000), INTERNAL),
    "flag 1 without grpc-encoding": (raw.message(b"", 1), INTERNAL),
    "flag 255": (raw.message(b"", 255), INTERNAL),
    "part of a message": (b"\0\0\0\0\5abc", INTERNAL),
    "part of a prefix": (b"\0\0\0", INTERNAL),
    "4 GB announced": (b"\0\xff\xff\xff\xff", RESOURCE_EXHAUSTED),
    "one byte over the limit": (b"\0" + (4 * MB + 1).to_bytes(4, "big"), RESOURCE_EXHAUSTED),
    "two messages": (raw.message(b"") * 2, UNIMPLEMENTED),
    "no message": (b"", UNIMPLEMENTED),
}


def data(stream: int, payload: bytes) -> bytes:
    """DATA frames of 16 kB, the last with END_STREAM."""
    parts = [payload[at : at + 16_384] for at in range(0, len(payload), 16_384)] or [b""]
    return b"".join(raw.data(stream, part, END * (at == len(parts) - 1)) for at, part in enumerate(parts))


@pytest.mark.parametrize("service", ["Stateless", "Stateful"])
@pytest.mark.parametrize("name", MESSAGES)
def test_bad_messages(hub: Hub, name: str, service: str):
    """INTERNAL for what is no message of its type (RFC: gRPC status codes); other calls go on, also those
    that are open on the same connection and the same actor. No line of log, which a client could fill."""
    payload, status = MESSAGES[name]
    logged = len(hub.server.log)
    requests = Requests()
    with Attacker(hub.address) as attacker:
        attacker.send(requests.open(f"{service}/Talk"))
        for _ in range(3):
            attacker.send(requests.open(f"{service}/Unary") + data(requests.last, payload))
            assert attacker.status(requests.last) == status
        attacker.send(raw.data(1, raw.message(b"")))
        attacker.wait(lambda: attacker.received[1] == len(raw.message(b"")))
        attacker.send(requests.call(b"", f"{service}/Unary"))
        assert attacker.status(requests.last) == OK
    assert not hub.bystander.take(5).failures
    assert lines_since(hub.server.log, logged) == []


AMPLIFIED = {
    "unknown fields": b"\x78\x01" * (2 * MB - 8),
    "a field 2,000,000 times": bytes((NUMBER, 1)) * (2 * MB - 8),
    "empty strings": bytes((TEXT, 0)) * (2 * MB - 8),
    "groups side by side": b"\x7b\x7c" * (2 * MB - 8),
}


@pytest.mark.parametrize("name", AMPLIFIED)
def test_messages_of_the_largest_size(hub: Hub, name: str):
    """4 MB of the smallest fields, which the app sends back: it takes its time, and no multiple of memory."""
    requests = Requests()
    with hub.unharmed(cpu=4, memory=96 * MB), Attacker(hub.address, WIDE) as attacker:
        for _ in range(5):
            head = requests.open()
            body = AMPLIFIED[name]
            attacker.send(head + data(requests.last, raw.message(body)))
            assert attacker.status(requests.last) in (OK, INTERNAL)


# ---- compressed messages


@cache
def bomb() -> bytes:
    """256 MB of zeros in 256 kB of gzip."""
    return gzip.compress(bytes(256 * MB), 9)


def deflated() -> bytes:
    return zlib.compress(bytes(5 * MB), 9)


def truncated() -> bytes:
    return gzip.compress(bytes(10_000))[:-9]


def followed() -> bytes:
    return gzip.compress(b"") + b"more"


def bad_checksum() -> bytes:
    return gzip.compress(b"")[:-8] + bytes((1, 2, 3, 4, 0, 0, 0, 0))


COMPRESSED = {
    "gzip bomb": ("gzip", bomb, RESOURCE_EXHAUSTED),
    "deflate bomb": ("deflate", deflated, RESOURCE_EXHAUSTED),
    "no gzip": ("gzip", lambda: b"not gzip at all", INTERNAL),
    "nothing": ("gzip", lambda: b"", INTERNAL),
    "gzip that ends early": ("gzip", truncated, INTERNAL),
    "gzip and more": ("gzip", followed, INTERNAL),
    "gzip with a wrong checksum": ("gzip", bad_checksum, INTERNAL),
    "unknown encoding": ("br", lambda: b"", UNIMPLEMENTED),
}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_messages(hub: Hub, name: str):
    """No more is ever decompressed than a message may have bytes (grpc/doc/compression.md)."""
    encoding, make, status = COMPRESSED[name]
    requests = Requests()
    with hub.unharmed(memory=32 * MB, lines=0), Attacker(hub.address) as attacker:
        head = requests.open("Stateless/Unary", ("grpc-encoding", encoding))
        attacker.send(head + data(requests.last, raw.message(make(), 1)))
        assert attacker.status(requests.last) == status
        attacker.send(requests.call())
        assert attacker.status(requests.last) == OK


def test_gzip_bombs_by_the_dozen(hub: Hub):
    """5 kB on the wire, 4 MB and one byte in memory, 100 times: they are paid for by what they come to."""
    small = gzip.compress(bytes(4 * MB + 1), 9)
    requests = Requests()
    with hub.unharmed(cpu=4, memory=48 * MB, slowest=0.6), Attacker(hub.address) as attacker:
        for _ in range(100):
            head = requests.open("Stateful/Unary", ("grpc-encoding", "gzip"))
            attacker.send(head + data(requests.last, raw.message(small, 1)))
        attacker.wait(lambda: attacker.goaway is not None, 5)
        assert attacker.goaway is not None and attacker.goaway[0] == ENHANCE_YOUR_CALM
        assert attacker.status(1) == RESOURCE_EXHAUSTED
