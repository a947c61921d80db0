"""Header blocks: HPACK bombs, games with the table, and fields that smuggle (RFC 7541; RFC 9113, 8)."""

from __future__ import annotations

import pytest

from tests.hostile.attacker import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, PROTOCOL_ERROR, Attacker, Requests
from tests.hostile.hub import MB, Hub
from tests.support import raw

OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 0, 8, 12

#: Of each attack in this file: what one connection can do, many can.
CONNECTIONS = 10

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/shapes.Stateless/Unary"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


def head(stream: int, block: bytes, flags: int = 0) -> bytes:
    """HEADERS and as many CONTINUATIONs as the block needs."""
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)] or [b""]
    types = [raw.HEADERS] + [raw.CONTINUATION] * (len(parts) - 1)
    ends = [0] * (len(parts) - 1) + [raw.END_HEADERS]
    return b"".join(
        raw.frame(type_, (flags if type_ == raw.HEADERS else 0) | end, stream, part)
        for type_, end, part in zip(types, ends, parts, strict=True)
    )


def ordinary_call_works(attacker: Attacker, stream: int) -> None:
    """One malformed request is the end of its stream only (RFC 9113, 8.1.1)."""
    attacker.send(raw.headers(stream, REQUEST) + raw.data(stream, raw.message(b""), raw.END_STREAM))
    assert attacker.status(stream) == OK


def size_update(size: int) -> bytes:
    """RFC 7541, 6.3."""
    if size < 31:
        return bytes((0x20 | size,))
    rest, out = size - 31, b"\x3f"
    while rest > 127:
        out += bytes((rest & 127 | 128,))
        rest >>= 7
    return out + bytes((rest,))


NOT_HPACK = {
    "index 0": b"\x80",
    "index beyond the tables": b"\xfe",
    "endless integer": b"\xff" + b"\x80" * 1000,
    "integer of 64 bits": b"\xff" + b"\xff" * 9 + b"\x01",
    "string longer than its block": b"\0\x7f\xff\xff\xff\x07abc",
    "block that ends early": b"\x40",
    "table over its limit": size_update(4097),
    "table of 4 GB": size_update(2**32 - 2),
    "size update after a field": b"\x83" + size_update(0),
    "Huffman: end of string coded": b"\0\x84\xff\xff\xff\xff\0",
    "Huffman: padding of zeros": b"\0\x81\x00\0",
    "Huffman: padding of a byte": b"\0\x82\x1f\xff\0",
}


@pytest.mark.parametrize("name", NOT_HPACK)
def test_what_is_no_hpack(hub: Hub, name: str):
    """The table is lost, so the connection is: GOAWAY with COMPRESSION_ERROR (RFC 9113, 4.3)."""
    with hub.unharmed(lines=CONNECTIONS):
        for _ in range(CONNECTIONS):
            with Attacker(hub.address) as attacker:
                attacker.send(head(1, NOT_HPACK[name]))
                attacker.wait(lambda attacker=attacker: attacker.goaway)
                assert attacker.goaway and attacker.goaway[0] == COMPRESSION_ERROR, repr(attacker)


def test_hpack_bomb(hub: Hub):
    """CVE-2016-6581: a field of 4 kB in the table, then blocks that name it 16,000 times in as many bytes.

    The list is 64 MB as RFC 9113, 6.5.2 counts: the call ends with RESOURCE_EXHAUSTED. Milliseconds each,
    such blocks make a flood: a connection that goes on with them ends with ENHANCE_YOUR_CALM.
    """
    large = b"\x40" + raw.literal("bomb") + raw.literal("x" * 4000)
    bomb = raw.block(REQUEST) + b"\xbe" * 16_000
    with hub.unharmed(memory=32 * MB), Attacker(hub.address) as attacker:
        attacker.send(head(1, raw.block(REQUEST) + large, raw.END_STREAM))
        assert attacker.status(1) == UNIMPLEMENTED  # since no message came; the table has the field now
        attacker.send(head(3, bomb))
        assert attacker.status(3) == RESOURCE_EXHAUSTED
        ordinary_call_works(attacker, 5)
        attacker.flood(head(stream, bomb) for stream in range(7, 1000, 2))
        attacker.wait(lambda: attacker.goaway)
        assert attacker.goaway and attacker.goaway[0] == ENHANCE_YOUR_CALM, repr(attacker)


def test_huffman_bomb(hub: Hub):
    """Strings of 16 kB that Huffman coding makes longer, never the same, so that no memo knows them."""
    blocks = []
    for number in range(300):
        # '0' is five zeros (RFC 7541, appendix B): 8 characters in 5 bytes. A number keeps them apart.
        coded = number.to_bytes(2, "big").replace(b"\xff", b"\0") + bytes(9_998)
        length = b"\xff" + bytes(((10_000 - 127) & 127 | 128, (10_000 - 127) >> 7))
        blocks.append(raw.block(REQUEST) + b"\0" + raw.literal("x") + length + coded)
    with hub.unharmed(cpu=4, memory=32 * MB), Attacker(hub.address) as attacker:
        attacker.flood(head(2 * number + 1, block) for number, block in enumerate(blocks))


def test_table_size_games(hub: Hub):
    """The table to 0 and back to 4096 in each block, 4000 times; and entries that evict all others.

    Allowed (RFC 7541, 4.2 asks for two at most, and peers that send more are tolerated), and cheap.
    """
    games = (size_update(0) + size_update(4096)) * 4000
    with hub.unharmed(cpu=3), Attacker(hub.address) as attacker:
        for stream in range(1, 100, 2):
            attacker.send(head(stream, games + raw.block(REQUEST)))
            if attacker.goaway:
                break
        else:
            ordinary_call_works(attacker, 101)


def test_entries_that_evict_each_other(hub: Hub):
    """Each field evicts all others, or is larger than the table, which empties it (RFC 7541, 4.4)."""
    fields = b"".join(
        b"\x40" + raw.literal(f"n{number}") + raw.literal("v" * (4090 if number % 2 else 10))
        for number in range(3)
    )
    with hub.unharmed(cpu=3), Attacker(hub.address) as attacker:
        attacker.flood(
            head(stream, raw.block(REQUEST) + fields, raw.END_STREAM) for stream in range(1, 4000, 2)
        )


def test_many_small_fields(hub: Hub):
    """A list of 500 fields, over 16 kB as it is counted: RESOURCE_EXHAUSTED on the call."""
    fields = [(f"x-{number}", "y") for number in range(600)]
    with hub.unharmed(), Attacker(hub.address) as attacker:
        attacker.send(head(1, raw.block(REQUEST + fields)))
        assert attacker.status(1) == RESOURCE_EXHAUSTED
        ordinary_call_works(attacker, 3)


def test_memos_do_not_grow(hub: Hub):
    """Requests with a new path, field or deadline each: nothing that is remembered about them stays."""
    with hub.unharmed(cpu=5, memory=24 * MB), Attacker(hub.address) as attacker:
        requests = Requests()
        for number in range(5_000):
            fields = ("x", f"{number:x>300}"), ("grpc-timeout", f"{number + 1}S")
            attacker.flood([requests.call(b"", f"Stateless/{number}", *fields)])
            if attacker.goaway or attacker.sent > 2 * MB:
                break
        if not attacker.goaway:
            attacker.status(requests.last)


def test_a_long_path_is_not_sent_back(hub: Hub):
    """A path of 3.9 kB from the table is one byte of input; percent-encoded UTF-8 makes 23 kB of each."""
    path = b"\x44" + raw.literal(b"\xe9" * 3900)  # a literal for the table, with the name of static entry 4
    begin, end = raw.block(REQUEST[:2]), raw.block(REQUEST[3:])
    with hub.unharmed(memory=24 * MB), Attacker(hub.address) as attacker:
        attacker.send(head(1, begin + path + end, raw.END_STREAM))
        again = begin + b"\xbe" + end
        attacker.send(b"".join(head(stream, again, raw.END_STREAM) for stream in range(3, 1800, 2)))
        assert attacker.status(1799) == UNIMPLEMENTED
        assert max(len(fields["grpc-message"]) for fields in attacker.fields.values()) < 1000


# ---- smuggling

FIRST, LAST = REQUEST[:3], REQUEST[3:]

SMUGGLED = {
    "upper case": [*REQUEST, ("X-Upper", "1")],
    "connection": [*REQUEST, ("connection", "close")],
    "keep-alive": [*REQUEST, ("keep-alive", "1")],
    "proxy-connection": [*REQUEST, ("proxy-connection", "close")],
    "transfer-encoding": [*REQUEST, ("transfer-encoding", "chunked")],
    "upgrade": [*REQUEST, ("upgrade", "h2c")],
    "te other than trailers": [*REQUEST[:4], ("te", "gzip")],
    "pseudo-header after a field": [*LAST, *FIRST],
    "pseudo-header after grpc-timeout": [*FIRST[:2], ("grpc-timeout", "1S"), *FIRST[2:], *LAST],
    "path twice": [*FIRST, (":path", "/other"), *LAST],
    "unknown pseudo-header": [*FIRST, (":protocol", "websocket"), *LAST],
    "response's pseudo-header": [*FIRST, (":status", "200"), *LAST],
    "no method": [*REQUEST[1:]],
    "no scheme": [REQUEST[0], *REQUEST[2:]],
    "no path": [*REQUEST[:2], *LAST],
    "empty path": [*REQUEST[:2], (":path", ""), *LAST],
    "empty name": [*REQUEST, ("", "x")],
    "space in a name": [*REQUEST, ("x y", "z")],
    "colon in a name": [*REQUEST, ("x:y", "z")],
    "line feed in a name": [*REQUEST, ("x\ny", "z")],
    "line feed in a value": [*REQUEST, ("x", "y\nz: 1")],
    "carriage return in a value": [*REQUEST, ("x", "y\r")],
    "NUL in a value": [*REQUEST, ("x", "y\0z")],
    "space before a value": [*REQUEST, ("x", " y")],
    "tab after a value": [*REQUEST, ("x", "y\t")],
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_smuggling(hub: Hub, name: str):
    """A malformed request is a stream error of type PROTOCOL_ERROR (RFC 9113, 8.1.1, 8.2, 8.3)."""
    with Attacker(hub.address) as attacker:
        for stream in range(1, 2 * CONNECTIONS, 2):
            attacker.send(raw.headers(stream, SMUGGLED[name]) + raw.data(stream, raw.message(b""), 1))
            assert attacker.reset(stream) == PROTOCOL_ERROR
        ordinary_call_works(attacker, 2 * CONNECTIONS + 1)
    assert not hub.bystander.take(5).failures


def test_smuggling_in_trailers(hub: Hub):
    """Pseudo-headers and connection-specific fields are no trailers either (RFC 9113, 8.1)."""
    with Attacker(hub.address) as attacker:
        for stream, field in ((1, (":path", "/other")), (3, ("connection", "close")), (5, ("Upper", "1"))):
            attacker.send(raw.headers(stream, REQUEST))
            attacker.send(raw.headers(stream, [field], raw.END_HEADERS | raw.END_STREAM))
            assert attacker.reset(stream) == PROTOCOL_ERROR
        ordinary_call_works(attacker, 7)
    assert not hub.bystander.take(5).failures


LENGTHS = {
    "shorter": [("content-length", "6")],
    "longer": [("content-length", "4")],
    "several": [("content-length", "5"), ("content-length", "5")],
    "none": [("content-length", "five")],
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths(hub: Hub, name: str):
    """A body that is not as long as its content-length says makes its request malformed (RFC 9113, 8.1.1)."""
    with Attacker(hub.address) as attacker:
        for stream in range(1, 2 * CONNECTIONS, 2):
            attacker.send(
                raw.headers(stream, REQUEST + LENGTHS[name]) + raw.data(stream, raw.message(b""), 1)
            )
            assert attacker.reset(stream) == PROTOCOL_ERROR
        ordinary_call_works(attacker, 2 * CONNECTIONS + 1)
    assert not hub.bystander.take(5).failures
