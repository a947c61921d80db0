"""HPACK: the examples of RFC 7541, then the `hpack` library on the other side, then bytes that are wrong."""

from __future__ import annotations

import tracemalloc
from typing import Any

import hpack
import pytest
from hpack.table import HeaderTable
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.errors import ConnectionFault
from actorrpc.wire import hpack as wire_hpack
from actorrpc.wire.hpack import Decoder, encode, encode_field

from .faults import COMPRESSION_ERROR

WWW = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")]
NO_CACHE = [*WWW, ("cache-control", "no-cache")]
CUSTOM = [
    (":method", "GET"), (":scheme", "https"), (":path", "/index.html"), (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
]  # fmt: skip
DATE = ("date", "Mon, 21 Oct 2013 20:13:21 GMT")
FOUND = [(":status", "302"), ("cache-control", "private"), DATE, ("location", "https://www.example.com")]
MOVED = [(":status", "307"), *FOUND[1:]]
COOKIE = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
GZIP = [
    (":status", "200"), FOUND[1], ("date", "Mon, 21 Oct 2013 20:13:22 GMT"), FOUND[3],
    ("content-encoding", "gzip"), COOKIE,
]  # fmt: skip

#: Appendix C: the limit of the table, then blocks of one connection, each with its fields and the table's
#: size and number of entries after it.
EXAMPLES: dict[str, tuple[int, list[tuple[str, list[tuple[str, str]], int, int]]]] = {
    "C.2.1": (4096, [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [("custom-key", "custom-header")], 55, 1),
    ]),
    "C.2.2": (4096, [("040c2f73616d706c652f70617468", [(":path", "/sample/path")], 0, 0)]),
    "C.2.3": (4096, [("100870617373776f726406736563726574", [("password", "secret")], 0, 0)]),
    "C.2.4": (4096, [("82", [(":method", "GET")], 0, 0)]),
    "C.3": (4096, [
        ("828684410f7777772e6578616d706c652e636f6d", WWW, 57, 1),
        ("828684be58086e6f2d6361636865", NO_CACHE, 110, 2),
        ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", CUSTOM, 164, 3),
    ]),
    "C.4": (4096, [
        ("828684418cf1e3c2e5f23a6ba0ab90f4ff", WWW, 57, 1),
        ("828684be5886a8eb10649cbf", NO_CACHE, 110, 2),
        ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", CUSTOM, 164, 3),
    ]),
    "C.5": (256, [
        ("4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
         "6e1768747470733a2f2f7777772e6578616d706c652e636f6d", FOUND, 222, 4),
        ("4803333037c1c0bf", MOVED, 222, 4),
        ("88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d"
         "4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b20766572"
         "73696f6e3d31", GZIP, 215, 3),
    ]),
    "C.6": (256, [
        ("488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b"
         "97c8e9ae82ae43d3", FOUND, 222, 4),
        ("4883640effc1c0bf", MOVED, 222, 4),
        ("88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdf"
         "cd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", GZIP, 215, 3),
    ]),
}  # fmt: skip


@pytest.mark.parametrize(("limit", "blocks"), EXAMPLES.values(), ids=EXAMPLES)
def test_the_examples_of_the_rfc(
    limit: int, blocks: list[tuple[str, list[tuple[str, str]], int, int]]
) -> None:
    decoder = Decoder(limit)
    for block, fields, size, entries in blocks:
        assert decoder.decode(bytes.fromhex(block)) == tuple(fields)
        assert (decoder.size, len(decoder.entries)) == (size, entries)


def test_the_static_table() -> None:
    table = [(name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE]
    assert Decoder().decode(bytes(0x80 | index for index in range(1, 62))) == tuple(table)
    for index, (name, _) in enumerate(table, 1):
        prefix = bytes((index,)) if index < 15 else bytes((15, index - 15))
        assert Decoder().decode(prefix + b"\x01v") == ((name, "v"),)


def test_the_integers_of_the_rfc() -> None:
    for value, prefix, written in ((10, 0x1F, b"\x0a"), (1337, 0x1F, b"\x1f\x9a\x0a"), (42, 0xFF, b"\x2a")):
        assert wire_hpack._encode_integer(value, prefix, 0) == written
    assert wire_hpack._integer(b"\x9a\x0a", 0, 0x1F) == (1337, 2)


# ---- the other side is `hpack`

NAMES = st.sampled_from(["x-id", ":path", "te", "grpc-timeout", "authorization", "x-bin", "a" * 60])
VALUES = st.one_of(
    st.sampled_from(["", "/a.B/C", "trailers", "1S"]),
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.integers(0, 300).map("v".__mul__),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=6)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("block"), FIELDS, st.booleans()),
        st.tuples(st.just("again"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("resize"), st.integers(0, 4096), st.none()),
        st.tuples(st.just("move"), st.none(), st.none()),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=300)
@given(STEPS)
def test_it_decodes_what_hpack_encodes(steps: list[tuple[str, Any, Any]]) -> None:
    encoder, decoder, earlier = hpack.Encoder(), Decoder(), []
    for step, what, huffman in steps:
        if step == "resize":
            if what != encoder.header_table_size:  # else `hpack` forgets the update that is due
                encoder.header_table_size = what
        elif step == "move":
            moved = Decoder()
            moved.restore(decoder.entries, decoder.max_size)
            assert (moved.entries, moved.size, moved.max_size) == (
                decoder.entries,
                decoder.size,
                decoder.max_size,
            )
            decoder = moved
        else:
            if step == "again":
                if not earlier:
                    continue
                what = earlier[what % len(earlier)]
            earlier.append(what)
            block = encoder.encode([_sensitive(*field) for field in what], huffman=huffman)
            assert decoder.decode(block) == tuple((name, value) for name, value, _ in what)
            table = [
                (name.decode(), value.decode("latin-1"))
                for name, value in encoder.header_table.dynamic_entries
            ]
            assert decoder.entries[::-1] == table
            assert (
                decoder.size == sum(len(name) + len(value) + 32 for name, value in table) <= decoder.max_size
            )


def _sensitive(name: str, value: str, never: bool) -> hpack.HeaderTuple:
    kind = hpack.NeverIndexedHeaderTuple if never else hpack.HeaderTuple
    return kind(name.encode(), value.encode("latin-1"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=10))
def test_hpack_and_we_decode_what_we_encode(fields: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    block = encode(raw)
    library = hpack.Decoder()
    assert [tuple(field) for field in library.decode(block, raw=True)] == raw
    assert not library.header_table.dynamic_entries, "the encoder has no state"
    decoder = Decoder()
    assert decoder.decode(block) == tuple(fields) and not decoder.entries


@pytest.mark.parametrize("length", (0, 1, 126, 127, 128, 254, 255, 16_383, 2_097_279))
def test_strings_of_all_lengths(length: int) -> None:
    value = b"v" * length
    library = hpack.Decoder(max_header_list_size=1 << 30)
    assert list(library.decode(encode_field(b"x", value), raw=True)) == [(b"x", value)]
    assert Decoder().decode(encode_field(b"x", value)) == (("x", "v" * length),)


def test_what_the_static_table_has_whole_takes_a_byte() -> None:
    assert encode_field(b":status", b"200") == b"\x88"
    assert encode_field(b"content-type", b"application/grpc")[:2] == b"\x0f\x10"  # its name alone
    assert encode_field(b"grpc-status", b"0")[0] == 0x00


@settings(max_examples=300)
@given(
    FIELDS,
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3),
    st.integers(0, 200),
)
def test_it_judges_broken_blocks_as_hpack_does(
    fields: list[tuple[str, str, bool]], huffman: bool, changes: list[tuple[int, int]], cut: int
) -> None:
    block = bytearray(hpack.Encoder().encode([_sensitive(*field) for field in fields], huffman=huffman))
    for position, byte in changes:
        if block:
            block[position % len(block)] = byte
    wrong = bytes(block[: len(block) - cut] if cut < len(block) else block)
    library = hpack.Decoder(max_header_list_size=1 << 30)
    decoder = Decoder()
    try:
        expected = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in library.decode(wrong, raw=True)
        )
    except hpack.HPACKError:
        with pytest.raises(ConnectionFault) as raised:
            decoder.decode(wrong)
        assert raised.value.code == COMPRESSION_ERROR
    else:
        assert decoder.decode(wrong) == expected


# ---- errors, and what is allowed at the edge of them

ERRORS = {
    "index 0": "80",
    "index beyond the static table, with an empty dynamic one": "be",
    "an index far beyond": "ffffff7f",
    "a name's index beyond the table": "7f 00 00",
    "an integer without its end": "ff ff",
    "an integer of more than 32 bits": "ff ffffffffff 01",
    "an integer of any number of bytes": "ff" + "80" * 40 + "00",
    "a string without its length": "00",
    "a string length of more than 32 bits": "00 7f ffffffffff 01",
    "a name longer than the block": "00 05 61",
    "a value longer than the block": "00 01 61 05 62",
    "a name without a value": "00 01 61",
    "Huffman: EOS": "00 01 61 84 ffffffff",
    "Huffman: padding of 8 bits": "00 01 61 82 1f ff",
    "Huffman: padding of zeros": "00 01 61 81 18",
    "a table larger than allowed": "3f e21f",
    "a size update behind a field": "82 20",
    "a size update of more than 32 bits": "3f ffffffffff 01",
}
FINE: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "an empty block": ("", ()),
    "size updates alone": ("20 3f e11f", ()),
    "two size updates, then fields": ("20 3f e11f 82", ((":method", "GET"),)),
    "Huffman: an empty string": ("00 01 61 80", (("a", ""),)),
    "Huffman: padding of 3 bits": ("00 01 61 81 1f", (("a", "a"),)),
    "an integer with zeros behind": ("3f 80808000", ()),
}


@pytest.mark.parametrize("block", ERRORS.values(), ids=ERRORS)
def test_errors(block: str) -> None:
    with pytest.raises(ConnectionFault) as raised:
        Decoder().decode(bytes.fromhex(block))
    assert raised.value.code == COMPRESSION_ERROR and str(raised.value).startswith("HPACK: ")


@pytest.mark.parametrize(("block", "fields"), FINE.values(), ids=FINE)
def test_no_errors(block: str, fields: tuple[tuple[str, str], ...]) -> None:
    assert Decoder().decode(bytes.fromhex(block)) == fields


@pytest.mark.parametrize("name", EXAMPLES)
def test_blocks_cut_anywhere(name: str) -> None:
    limit, blocks = EXAMPLES[name]
    whole = bytes.fromhex(blocks[0][0])
    fields = tuple(blocks[0][1])
    for end in range(len(whole)):
        try:
            decoded = Decoder(limit).decode(whole[:end])
        except ConnectionFault as fault:
            assert fault.code == COMPRESSION_ERROR
        else:
            assert decoded == fields[: len(decoded)] != fields


# ---- the table and the memos


def test_each_entry_has_its_index_and_nothing_else_has_one() -> None:
    decoder = Decoder()
    decoder.decode(b"".join(b"\x40\x01%c\x01v" % letter for letter in range(97, 97 + 100)))
    assert len(decoder.entries) == 100
    for index in range(100):
        code = bytes((0x80 | 62 + index,)) if index < 65 else bytes((0xFF, 62 + index - 127))
        assert decoder.decode(code) == ((chr(97 + 99 - index), "v"),)
    for code in (b"\x80", b"\xff\x23", b"\xff\x24"):
        with pytest.raises(ConnectionFault):
            decoder.decode(code)


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x01b")
    decoder.decode(b"\x40\x01a" + wire_hpack._encode_string(b"v" * 4096))
    assert (decoder.entries, decoder.size) == ([], 0)


def test_a_name_may_come_from_the_entry_that_it_evicts() -> None:
    decoder = Decoder(limit=40)
    decoder.decode(b"\x40\x03abc\x01x")
    assert decoder.decode(b"\x7e\x01y") == (("abc", "y"),)
    assert decoder.entries == [("abc", "y")]


def test_a_remembered_block_means_another_entry_once_the_table_has_changed() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x01b")
    first = decoder.decode(b"\xbe")
    assert decoder.decode(b"\xbe") is first == (("a", "b"),)
    decoder.decode(b"\x40\x01c\x01d")
    assert decoder.decode(b"\xbe") == (("c", "d"),)
    decoder.decode(b"\x20")
    with pytest.raises(ConnectionFault):
        decoder.decode(b"\xbe")


def test_the_memos_are_bounded() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a" + wire_hpack._encode_string(b"v" * 4000))
    for count in range(200):
        decoder.decode(b"\xbe" * count)
        decoder.decode(b"\xbe" * (wire_hpack.SMALL_BLOCK + count + 1))
    assert decoder._blocks and 0 < decoder._blocks_memory <= wire_hpack._BLOCK_MEMO_MEMORY
    assert all(len(block) <= wire_hpack.SMALL_BLOCK for block in decoder._blocks)
    encoder = hpack.Encoder()
    for number in range(5000):
        decoder.decode(encoder.encode([("x", f"{number:x}")]))
    decoder.decode(encoder.encode([("x", "x" * 2000)]))
    memo = wire_hpack._huffman_memo
    assert 0 < len(memo) <= wire_hpack._HUFFMAN_MEMO_ENTRIES
    assert all(len(coded) <= wire_hpack._HUFFMAN_MEMO_STRING for coded in memo)


def _own(text: str, name: int = 0) -> bytes:
    """A literal that no table keeps, with a name from the static table, or one that is the text as well."""
    literal = wire_hpack._encode_string(text.encode())
    return bytes((name,)) + literal if name else b"\0" + literal * 2


#: Blocks that leave the table as it is, and are none that came before, by their number.
BLOCKS = {
    "small literals": lambda n: b"".join(_own(f"{n + i:02}", name=1) for i in range(n % 30)),
    "small names": lambda n: b"".join(_own(f"{n + i:02}") for i in range(n % 30)),
    "empty values": lambda n: b"\1\0" * (n % 30) + _own(str(n), name=1),
    "long literals": lambda n: _own(f"{n}" + "v" * (n % 490), name=1),
    "indexes": lambda n: bytes(0x82 + (n >> bit) % 2 for bit in range(9)),
    "long lists of indexes": lambda n: bytes(0x82 + (n >> bit) % 2 for bit in range(9)) * 50,
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_what_is_remembered_of_blocks_takes_no_more_than_it_is_counted_with(kind: str) -> None:
    """An idle connection keeps it."""
    make = BLOCKS[kind]
    decoder = Decoder()
    for number in range(200):  # what is made once for all: strings of one character, and the like
        decoder.decode(make(number))
    blocks = [make(number) for number in range(200, 700)]
    decoder = Decoder()
    decoder.decode(b"\x82")
    tracemalloc.start()
    try:
        for block in blocks:
            decoder.decode(bytes(bytearray(block)))  # a copy, as each block that comes
            grown, _ = tracemalloc.get_traced_memory()
            assert grown <= wire_hpack._BLOCK_MEMO_MEMORY
    finally:
        tracemalloc.stop()
    assert decoder._blocks


def test_a_table_that_no_decoder_had_is_not_restored() -> None:
    with pytest.raises(ConnectionFault):
        Decoder().restore([], 4097)
