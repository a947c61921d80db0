"""Compression: what is read and written, and that a message costs nothing beyond its own bytes until then."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.config import Config
from actorrpc.errors import RpcError, StatusCode
from actorrpc.wire.compression import Compressed, compress, decompress, is_accepted
from tests.support import raw
from tests.support.view import View

from .owner import OK, Owner

ENCODINGS = ("gzip", "deflate")
PACK = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(st.binary(max_size=2000))
def test_what_is_packed_is_unpacked_by_us_and_by_others(encoding: str, payload: bytes) -> None:
    packed = compress(encoding, payload)
    assert isinstance(packed, Compressed)
    assert {"gzip": gzip.decompress, "deflate": zlib.decompress}[encoding](packed) == payload
    assert decompress(encoding, packed, 2000) == payload
    assert decompress(encoding, PACK[encoding](payload), len(payload)) == payload


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bomb_stops_at_the_limit(encoding: str) -> None:
    bomb = PACK[encoding](bytes(50_000_000))
    assert len(bomb) < 60_000
    with pytest.raises(RpcError) as caught:
        decompress(encoding, bomb, 1000)
    assert caught.value.code is StatusCode.RESOURCE_EXHAUSTED
    assert len(decompress(encoding, PACK[encoding](bytes(1000)), 1000)) == 1000
    with pytest.raises(RpcError, match="more than 999 bytes"):
        decompress(encoding, PACK[encoding](bytes(1000)), 999)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("spoil", ("cut", "more", "noise", "other", "empty"))
def test_what_is_not_in_the_encoding(encoding: str, spoil: str) -> None:
    good = PACK[encoding](b"hello" * 100)
    (other,) = set(ENCODINGS) - {encoding}
    bad = {"cut": good[:-1], "more": good + b"x", "noise": b"noise", "other": PACK[other](b"x"), "empty": b""}
    with pytest.raises(RpcError) as caught:
        decompress(encoding, bad[spoil], 10_000)
    assert caught.value.code is StatusCode.INTERNAL


def test_which_encodings_a_client_accepts() -> None:
    assert is_accepted("gzip", "identity, deflate ,gzip") and is_accepted("gzip", "gzip")
    assert not is_accepted("gzip", "gzipped,deflate") and not is_accepted("gzip", "")


def opened(*extra: tuple[str, str]) -> Owner:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Hold", *extra)))
    return owner


@pytest.mark.parametrize("move", (False, True))
def test_a_compressed_message_waits_as_it_came(move: bool) -> None:
    owner = opened(("grpc-encoding", "gzip"))
    packed = gzip.compress(bytes(100_000))
    owner.feed(raw.data(1, raw.message(packed[:1], 1)[:3]))
    if move:
        owner.move()
    owner.feed(raw.data(1, raw.message(packed, 1)[3:] + raw.message(b"plain")))
    first, second = owner.calls[1].held
    assert (type(first), first) == (Compressed, packed) and (type(second), second) == (bytes, b"plain")
    assert owner.session.streams[1].held < 1000


@pytest.mark.parametrize("encoding", ("identity", None))
def test_the_flag_without_an_encoding(encoding: str | None) -> None:
    owner = opened(*([("grpc-encoding", encoding)] if encoding else []))
    owner.feed(raw.data(1, raw.message(b"x", 1)))
    assert View(owner.sent).brief() == {1: "200, status 13, reset 0"}


@pytest.mark.parametrize("move", (False, True))
def test_a_compressed_reply_names_its_encoding(move: bool) -> None:
    owner = opened(("grpc-accept-encoding", "gzip"))
    owner.session.streams[1].encoding = "gzip"
    if move:
        owner.move()
    packed = compress("gzip", b"hello")
    outbound, stream = owner.session.outbound, owner.session.streams[1]
    outbound.message(stream, packed)
    outbound.message(stream, b"plain")
    outbound.finish(stream, OK)
    owner.flush()
    headers, *_ = View(owner.sent).streams[1]
    assert (b"grpc-encoding", b"gzip") in headers[1]
    data = b"".join(part[1] for part in View(owner.sent).streams[1] if part[0] == "data")
    assert data == raw.message(packed, 1) + raw.message(b"plain")


def test_the_short_way_to_reply_is_for_plain_calls() -> None:
    owner = Owner()
    owner.feed(raw.OPEN + raw.headers(1, raw.request("Unary"), raw.END_HEADERS | raw.END_STREAM))
    owner.feed(raw.headers(3, raw.request("Silent"), raw.END_HEADERS | raw.END_STREAM))
    assert owner.session.outbound.table_announced
    owner.session.streams[3].encoding = "gzip"
    owner.session.outbound.reply(owner.session.streams[3], compress("gzip", b"hello"))
    owner.flush()
    parts = View(owner.sent).streams[3]
    assert (b"grpc-encoding", b"gzip") in parts[0][1] and parts[1][1][:1] == b"\1"


REFUSED = Config(compression=False)


@pytest.mark.parametrize("encoding", ("gzip", "deflate", "br"))
@pytest.mark.parametrize("end", (0, raw.END_STREAM))
def test_a_server_that_takes_no_compression_says_so(encoding: str, end: int) -> None:
    """UNIMPLEMENTED, with the encodings that it does take (grpc/doc/compression.md)."""
    owner = Owner(REFUSED)
    fields = raw.request("Unary", ("grpc-encoding", encoding))
    owner.feed(raw.OPEN + raw.headers(1, fields, raw.END_HEADERS | end))
    assert owner.events == [] and not owner.session.streams
    [(_, answer), *reset] = View(owner.sent).streams[1]
    assert dict(answer)[b"grpc-status"] == b"12"
    assert dict(answer)[b"grpc-accept-encoding"] == b"identity"
    assert f"'{encoding}' is not supported: use identity".encode() in dict(answer)[b"grpc-message"]
    assert reset == ([] if end else [("reset", 0)])


@pytest.mark.parametrize("fields", ([], [("grpc-encoding", "identity")], [("grpc-accept-encoding", "gzip")]))
def test_it_takes_what_is_not_compressed(fields: list[tuple[str, str]]) -> None:
    owner = Owner(REFUSED)
    head = raw.headers(1, raw.request("Unary", *fields))
    owner.feed(raw.OPEN + head + raw.data(1, raw.message(b"x"), raw.END_STREAM))
    assert View(owner.sent).brief()[1].endswith("status 0")


def test_what_is_refused_in_any_case_is_refused_for_the_same_reason() -> None:
    answers = []
    for compression in (True, False):
        owner = Owner(Config(compression=compression, max_header_list_bytes=1000))
        encoding = ("grpc-encoding", "gzip")
        get = [
            (name, "GET" if name == ":method" else value) for name, value in raw.request("Unary", encoding)
        ]
        owner.feed(raw.OPEN + raw.headers(1, get))
        owner.feed(raw.headers(3, raw.request("Unary", encoding, ("grpc-timeout", "x"))))
        owner.feed(raw.headers(5, raw.request("Unary", encoding, ("x", "x" * 1000))))
        answers.append(View(owner.sent).brief())
    assert answers[0] == answers[1]
    assert [answer.split(", reset")[0] for answer in answers[0].values()] == [
        "405",
        "200, status 13",
        "200, status 8",
    ]
