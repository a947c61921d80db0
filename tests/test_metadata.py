"""Metadata both ways, and how a status message is written."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from actorrpc.metadata import Metadata, encode_metadata
from actorrpc.wire.responses import percent_encode

RECEIVED: dict[str, tuple[list[tuple[str, str]], dict[str, tuple[Any, ...]]]] = {
    "text": ([("x-id", "7")], {"x-id": ("7",)}),
    "text is not split at commas": ([("x-id", "a, b")], {"x-id": ("a, b",)}),
    "repeated": ([("x-id", "1"), ("y", "2"), ("x-id", "3")], {"x-id": ("1", "3"), "y": ("2",)}),
    "beyond ASCII": ([("x", "caf\xe9")], {"x": ("caf\xe9",)}),
    "padded": ([("x-bin", "YQ==")], {"x-bin": (b"a",)}),
    "unpadded": ([("x-bin", "YQ")], {"x-bin": (b"a",)}),
    "half padded": ([("x-bin", "YQ=")], {"x-bin": (b"a",)}),
    "empty bytes": ([("x-bin", "")], {"x-bin": (b"",)}),
    "joined": ([("x-bin", "YQ==,Yg, YWJj")], {"x-bin": (b"a", b"b", b"abc")}),
    "joined and repeated": ([("x-bin", "YQ,Yg"), ("x-bin", "Yw")], {"x-bin": (b"a", b"b", b"c")}),
    "no base64": ([("x-bin", "A")], {"x-bin": (b"",)}),
    "no base64 beyond ASCII": ([("x-bin", "\xe9\xe9\xe9\xe9")], {"x-bin": (b"",)}),
    "the protocol's own": (
        [
            (":path", "/a.B/C"), ("te", "trailers"), ("content-type", "application/grpc"), ("host", "x"),
            ("content-length", "5"), ("grpc-accept-encoding", "gzip"), ("grpc-encoding", "identity"),
            ("grpc-anything", "1"),
        ],
        {},
    ),
    "the protocol's own, by its documents": (
        [
            (name, "1")
            for name in (
                "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type", "grpc-status",
                "grpc-message", "grpc-retry-pushback-ms", "grpc-internal-encoding-request",
            )
        ],
        {},
    ),
    "which attempt it is": (
        [("grpc-previous-rpc-attempts", "2")], {"grpc-previous-rpc-attempts": ("2",)}
    ),
    "what tracing needs": (
        [("grpc-trace-bin", "AAE"), ("grpc-tags-bin", "AAI"), ("user-agent", "grpc-python/1.0")],
        {"grpc-trace-bin": (b"\0\1",), "grpc-tags-bin": (b"\0\2",), "user-agent": ("grpc-python/1.0",)},
    ),
    "who it is": ([("authorization", "Bearer t")], {"authorization": ("Bearer t",)}),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), RECEIVED.values(), ids=RECEIVED)
def test_received(fields: list[tuple[str, str]], expected: dict[str, tuple[Any, ...]]) -> None:
    metadata = Metadata(fields)
    assert {key: metadata.get_all(key) for key in metadata} == expected
    assert dict(metadata) == {key: values[0] for key, values in expected.items()}
    assert len(metadata) == len(expected)


def test_it_is_a_mapping() -> None:
    metadata = Metadata([("x", "1"), ("x", "2")])
    assert metadata["x"] == "1" and metadata.get("y") is None and "x" in metadata and "X" not in metadata
    assert metadata.get_all("y") == ()
    with pytest.raises(KeyError):
        metadata["y"]
    assert repr(metadata) == "Metadata({'x': ['1', '2']})"


SENT: dict[str, tuple[dict[str, Any], list[tuple[bytes, bytes]]]] = {
    "text": ({"x-id": "7"}, [(b"x-id", b"7")]),
    "all that may be in a key": ({"a.b_c-d9": ""}, [(b"a.b_c-d9", b"")]),
    "bytes": ({"x-bin": b"\xff\0a"}, [(b"x-bin", b"/wBh")]),
    "bytes without padding": ({"x-bin": b"a"}, [(b"x-bin", b"YQ")]),
    "a list": (
        {"x": ["1", "2"], "y-bin": (b"", b"a")},
        [(b"x", b"1"), (b"x", b"2"), (b"y-bin", b""), (b"y-bin", b"YQ")],
    ),
    "an empty list": ({"x": []}, []),
    "spaces at the ends, which HTTP/2 forbids": ({"x": "  a b "}, [(b"x", b"a b")]),
    "the rich error's details": ({"grpc-status-details-bin": b"d"}, [(b"grpc-status-details-bin", b"ZA")]),
}


@pytest.mark.parametrize(("metadata", "fields"), SENT.values(), ids=SENT)
def test_sent(metadata: dict[str, Any], fields: list[tuple[bytes, bytes]]) -> None:
    assert encode_metadata(metadata) == fields


BAD_NAMES = ["X-Id", "x id", "", ":path", "x\xe9", "x\n"]
RESERVED = [
    "connection", "content-length", "content-type", "host", "keep-alive", "proxy-connection", "te",
    "transfer-encoding", "upgrade", "grpc-status", "grpc-message", "grpc-encoding", "grpc-future",
    "grpc-previous-rpc-attempts",
]  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        *[({name: "7"}, ValueError) for name in BAD_NAMES + RESERVED],
        ({"grpc-trace-bin": b"x"}, ValueError),
        *[({"x": text}, ValueError) for text in ("caf\xe9", "a\nb", "a\n", "\x7f")],
        *[({"x": value}, TypeError) for value in (b"raw", 7, None, [1])],
        *[({"x-bin": value}, TypeError) for value in ("text", bytearray(b"x"))],
    ],
    ids=repr,
)
def test_what_cannot_be_sent_is_refused_by_its_name(metadata: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        encode_metadata(metadata)
    assert repr(next(iter(metadata))) in str(raised.value)


@given(
    st.dictionaries(
        st.from_regex(r"[a-f0-9_.-]{1,5}-bin", fullmatch=True), st.lists(st.binary(max_size=20), min_size=1)
    )
)
def test_bytes_survive_the_way_there_and_back(values: dict[str, list[bytes]]) -> None:
    fields = [(name.decode(), value.decode()) for name, value in encode_metadata(values)]
    metadata = Metadata(fields)
    assert {key: list(metadata.get_all(key)) for key in metadata} == values


@pytest.mark.parametrize(
    ("message", "written"),
    [
        ("", b""), ("no such thing", b"no such thing"), ("100%", b"100%25"), ("a\r\nb\tc", b"a%0D%0Ab%09c"),
        ("caf\xe9 \u2603", b"caf%C3%A9 %E2%98%83"),
        ("~!\"#&'()*+,/:;<=>?@[]^_`{|}", b"~!\"#&'()*+,/:;<=>?@[]^_`{|}"),
        ("\x7f\0", b"%7F%00"), (" ", b"%20"), ("  why: ", b"%20 why:%20"), ("\ud800", b"?"),
    ],
)  # fmt: skip
def test_percent_encoding(message: str, written: bytes) -> None:
    assert percent_encode(message) == written


@given(st.text())
@example(" \u2028 ")
def test_percent_encoding_is_undone_by_any_client_and_is_a_header_value(message: str) -> None:
    written = percent_encode(message)
    assert unquote_to_bytes(written) == message.encode("utf-8", "replace")
    assert all(0x20 <= byte < 0x7F for byte in written) and written == written.strip()
