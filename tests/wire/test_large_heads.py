"""Header lists over the limit: what they cost, whom they concern, and that the table follows them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actorrpc.config import Config
from actorrpc.wire.flood import STEP
from actorrpc.wire.hpack import Decoder
from tests.support import raw
from tests.support.view import View

from .owner import Owner

CONFIG = Config()
BOTH = raw.END_HEADERS | raw.END_STREAM
GOOD = raw.request("Unary")
LARGE = raw.block([*GOOD, *[("x", "y" * 1000)] * 40])
CALMED = "fault 11"


def opened(config: Config = CONFIG) -> Owner:
    owner = Owner(config)
    owner.feed(raw.OPEN)
    return owner


def spent(owner: Owner) -> float:
    flood = owner.session.flood
    return flood.spent + flood.unsettled


@pytest.mark.parametrize("ended", (False, True), ids=("open", "ended"))
@pytest.mark.parametrize("size", (40, 200, 900))
def test_a_large_request_is_refused_alone(size: int, ended: bool) -> None:
    owner = opened()
    owner.feed(raw.headers(1, raw.request("Hold")))
    large = raw.block([*GOOD, *[("x", "y" * 1000)] * size])
    owner.feed(raw.long_headers(3, large, raw.END_STREAM if ended else 0) + raw.headers(5, GOOD, BOTH))
    assert owner.events == ["1 request Hold", "5 request Unary", "5 end"]
    view = View(owner.sent)
    assert view.brief() == {3: "200, status 8" + ", reset 0" * (not ended), 5: "200, , status 0"}
    [(_, fields), *_] = view.streams[3]
    assert isinstance(fields, list)
    counted = sum(len(name) + len(value) + 32 for name, value in GOOD) + size * 1033
    assert dict(fields)[b"grpc-message"] == b"the headers take %d bytes, over the limit of 16384" % counted
    assert list(owner.session.streams) == [1]


def test_large_trailers_end_their_call() -> None:
    owner = opened()
    owner.feed(raw.headers(1, raw.request("Hold")) + raw.data(1, raw.message(b"hello")))
    owner.feed(raw.long_headers(1, raw.block([("x", "y" * 1000)] * 40), raw.END_STREAM))
    assert owner.events == ["1 request Hold", "1 message hello", "1 reset 8"]
    assert View(owner.sent).brief() == {1: "200, status 8"}


def test_trailers_over_the_limit_are_refused_in_one_frame_too() -> None:
    owner = opened(Config(max_header_list_bytes=1000))
    owner.feed(raw.headers(1, raw.request("Hold")) + raw.headers(1, [("x", "y" * 1000)], BOTH))
    assert View(owner.sent).brief() == {1: "200, status 8"}


@pytest.mark.parametrize(
    ("before", "answer"),
    [
        (raw.headers(1, raw.request("Hold")), {1: "reset 1"}),
        (raw.headers(1, raw.request("Silent"), BOTH), {1: "reset 5"}),
    ],
    ids=("no END_STREAM", "after END_STREAM"),
)
def test_large_trailers_that_no_stream_takes(before: bytes, answer: dict[int, str]) -> None:
    owner = opened()
    owner.feed(before + raw.long_headers(1, raw.block([("x", "y" * 1000)] * 40)))
    assert View(owner.sent).brief() == answer


def test_a_large_request_on_a_stream_that_was_used_ends_the_connection() -> None:
    owner = opened()
    owner.feed(raw.headers(3, GOOD, BOTH) + raw.long_headers(1, LARGE))
    assert owner.events[-1] == "fault 1"


def test_a_large_request_beyond_the_calls_allowed_is_refused_as_any() -> None:
    owner = opened(Config(max_concurrent_streams=1))
    owner.feed(raw.headers(1, raw.request("Hold")) + raw.long_headers(3, LARGE))
    assert View(owner.sent).brief() == {3: "reset 7"}


def test_the_table_follows_a_block_that_is_dropped() -> None:
    owner = opened()
    stored = b"\x40" + raw.literal("content-type") + raw.literal("application/grpc")
    owner.feed(raw.long_headers(1, LARGE + stored, raw.END_STREAM))
    rest = [field for field in GOOD if field[0] != "content-type"]
    owner.feed(raw.frame(raw.HEADERS, BOTH, 3, raw.block(rest) + b"\xbe"))
    assert View(owner.sent).brief() == {1: "200, status 8", 3: "200, , status 0"}


def test_half_a_large_block_travels() -> None:
    owner = opened()
    sent = raw.long_headers(1, LARGE) + raw.headers(3, GOOD, BOTH)
    for at in range(0, len(sent), 9000):
        owner.feed(sent[at : at + 9000])
        owner.move()
    assert View(owner.sent).brief() == {1: "200, status 8, reset 0", 3: "200, , status 0"}


def test_a_list_within_the_limit_is_served_however_long_its_code() -> None:
    value = b"\xf9" * 12_000  # 28 bits each (RFC 7541, appendix B)
    block = raw.block(GOOD) + b"\0" + raw.literal("x") + raw.huffman(value)
    owner = opened()
    assert len(block) > CONFIG.max_header_list_bytes + 16_384
    owner.feed(raw.long_headers(1, block, raw.END_STREAM))
    assert owner.events == ["1 request Unary", "1 end"]


# ---- what it costs


def test_it_is_paid_for_by_its_size() -> None:
    owner = opened()
    before = spent(owner)
    owner.feed(raw.long_headers(1, LARGE))
    fields = len(GOOD) + 40
    decoded = fields + fields // 4 + len(LARGE) // 512
    refused = 10
    assert 0 <= len(LARGE) // 16 + 3 * 5 + decoded + refused - (spent(owner) - before) < 3  # in parts


def test_what_is_within_the_limit_is_paid_for_by_its_frames() -> None:
    owner = opened(Config(max_header_list_bytes=60_000))
    before = spent(owner)
    owner.feed(raw.long_headers(1, LARGE, raw.END_STREAM))
    assert owner.events == ["1 request Unary", "1 end"] and spent(owner) - before == 3 * 5


def test_huffman_code_is_paid_for_as_what_it_takes_to_decode() -> None:
    codes = [raw.huffman(b"%d" % n * 5000) for n in range(10)]
    block = raw.block(GOOD) + b"".join(b"\0" + raw.literal("x") + code for code in codes)
    owner = opened()
    before = spent(owner)
    owner.feed(raw.long_headers(1, block))
    coded = sum(map(len, codes)) - 3 * len(codes)
    assert coded > 30_000 and spent(owner) - before >= len(block) // 16 + coded // 6 - 10


@pytest.mark.parametrize(
    "field", [b"\0\1x\2yz" * 3, b"\x83", b"\0" + raw.literal("x") + raw.literal("y" * 1000)]
)
def test_a_flood_of_them_ends_the_connection(field: bytes) -> None:
    owner = opened(replace(CONFIG, flood_burst=20_000))
    block = field * (40_000 // len(field))
    for id in range(1, 100, 2):
        owner.feed(raw.long_headers(id, block))
        if owner.session.faulted:
            break
    assert owner.events == [CALMED]
    assert owner.session.flood.spent < 20_000 + STEP + 16_384 // 4


def test_a_block_of_too_many_fields_ends_it_before_all_are_decoded() -> None:
    owner = opened(replace(CONFIG, flood_burst=0))
    entries: list[int] = []

    class Counting(Decoder):
        def decode_parts(self, block):  # type: ignore[no-untyped-def]
            for fields, size in super().decode_parts(block):
                entries.append(len(fields))
                yield fields, size

    owner.session.decoder = Counting()
    owner.feed(raw.long_headers(1, b"\x83" * 1_000_000))
    assert owner.events == [CALMED] and sum(entries) <= 65_536 + 16_384


def test_a_string_that_no_table_holds_is_not_decoded() -> None:
    decoder = Decoder()
    stored = b"\x40" + raw.literal("a") + raw.literal("b")
    code = raw.huffman(b"0" * 120_000)
    [(fields, _)] = decoder.decode_parts(stored + b"\x40" + raw.literal("x") + code)
    assert decoder.coded == 0 and len(fields) == 2
    assert decoder.entries == [], "it emptied the table (RFC 7541, 4.4)"


def test_the_parts_of_a_block_are_the_whole_of_it() -> None:
    fields = [(f"x-{number}", "v" * (number % 300)) for number in range(900)]
    block = b"".join(b"\x40" + raw.block([field])[1:] for field in fields)
    whole, parts = Decoder(), Decoder()
    decoded = whole.decode(block)
    found = [*parts.decode_parts(block)]
    assert len(found) > 3 and sum((part for part, _ in found), ()) == decoded == tuple(fields)
    assert sum(size for _, size in found) == len(block)
    assert parts.entries == whole.entries and parts.size == whole.size


def test_the_table_is_sized_at_the_begin_of_a_block_only() -> None:
    owner = opened()
    owner.feed(raw.long_headers(1, LARGE + b"\x20"))
    assert owner.events == ["fault 9"]
