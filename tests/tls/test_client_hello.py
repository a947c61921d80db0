"""What is read of a ClientHello before OpenSSL has it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.tls.handshake.client_hello import ClientHello, other_protocol, parse_client_hello


def vector(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def hello(*extensions: tuple[int, bytes], random: bytes = bytes(range(32)), end: bytes = b"") -> bytes:
    body = b"\3\3" + random + vector(b"session", 1) + vector(b"\x13\1\x13\2", 2) + vector(b"\0", 1)
    if extensions:
        body += vector(
            b"".join(struct.pack(">H", number) + vector(data, 2) for number, data in extensions), 2
        )
    return b"\1" + vector(body + end, 3)


def alpn(*protocols: bytes) -> tuple[int, bytes]:
    return 16, vector(b"".join(vector(each, 1) for each in protocols), 2)


def test_what_is_in_it() -> None:
    message = hello((0, b"a name"), alpn(b"h2", b"http/1.1"), (51, b"a key"))
    assert parse_client_hello(message) == ClientHello(bytes(range(32)), (b"h2", b"http/1.1"), 0)
    assert parse_client_hello(hello()) == ClientHello(bytes(range(32)), (), 0)


@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (b"\1", 512),
        (b"\2", 1024),
        (b"\3", 2048),
        (b"\4", 4096),
        (b"\5", 0),
        (b"\0", 0),
        (b"", 0),
        (b"\1\1", 0),
    ],
)
def test_the_most_that_a_record_may_hold(asked: bytes, most: int) -> None:
    parsed = parse_client_hello(hello((1, asked)))
    assert parsed is not None
    assert parsed.max_fragment == most


@pytest.mark.parametrize(
    "message",
    [
        hello(alpn(b"h2"), end=b"x"),
        hello((16, b"\0\5\2h2")),
        hello((16, b"\0\3\2h2x")),
        hello((16, b"\0\3\3h2")),
        hello((16, b"\0")),
        hello(alpn(b"h2"))[:-1],
        b"\1\0\0\1\0",
        b"\1\0\0\0",
    ],
)
def test_what_is_malformed(message: bytes) -> None:
    assert parse_client_hello(message) is None


@given(st.binary(max_size=100), st.integers(0, 80))
def test_anything_is_parsed_or_refused(data: bytes, at: int) -> None:
    whole = hello(alpn(b"h2"), (1, b"\1"))
    for message in (data, whole[:at] + data, whole[:at] + data + whole[at + len(data) :]):
        parsed = parse_client_hello(message)
        assert parsed is None or len(parsed.random) == 32


@given(st.binary(max_size=20))
def test_anything_may_be_a_first(data: bytes) -> None:
    assert other_protocol(data) == "" or data[:1] != b"\x16"
