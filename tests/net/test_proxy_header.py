"""PROXY headers: what is read of them, at every split, and what is refused."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorrpc.net.proxy_header import LONGEST, ProxyFacts, ProxyHeader, ProxyHeaderError
from tests.support.proxy_headers import LINE, SIGNATURE, binary, tls, value

#: What a client of gRPC sends after it.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

TCP4 = struct.pack(">4s4sHH", bytes([203, 0, 113, 9]), bytes([127, 0, 0, 1]), 40_000, 443)
V6, V6_MAPPED = (socket.inet_pton(socket.AF_INET6, each) for each in ("2001:db8::1", "::ffff:192.0.2.1"))
TCP6 = struct.pack(">16s16sHH", V6, V6, 1, 65_535)
UNIX = struct.pack("108s108s", b"/run/a client.sock", b"/run/server.sock")

#: Headers, with the peer and the facts that they tell.
GOOD: dict[str, tuple[bytes, str, ProxyFacts | None]] = {
    "line, IPv4": (LINE % b"TCP4 203.0.113.9 127.0.0.1 40000 443", "203.0.113.9:40000", None),
    "line, IPv6": (LINE % b"TCP6 2001:db8::1 ::1 0 65535", "[2001:db8::1]:0", None),
    "line, mapped": (LINE % b"TCP6 ::ffff:192.0.2.1 ::1 7 8", "192.0.2.1:7", None),
    "line, unknown": (LINE % b"UNKNOWN", "", None),
    "line, unknown and more": (LINE % b"UNKNOWN ffff::1 what ever 1 2", "", None),
    "the longest line": (LINE % b"UNKNOWN".ljust(107 - 8), "", None),
    "IPv4": (binary(0x21, 0x11, TCP4), "203.0.113.9:40000", None),
    "IPv6": (binary(0x21, 0x21, TCP6), "[2001:db8::1]:1", None),
    "IPv6, mapped": (binary(0x21, 0x21, V6_MAPPED + TCP6[16:]), "192.0.2.1:1", None),
    "unix": (binary(0x21, 0x31, UNIX), "unix:/run/a%20client.sock", None),
    "unix, abstract": (binary(0x21, 0x31, b"\0name".ljust(216, b"\0")), "unix-abstract:name", None),
    "unix, without a name": (binary(0x21, 0x31, bytes(216)), "unix:", None),
    "the proxy itself": (binary(0x20, 0x11, TCP4 + value(0x05, b"x")), "", None),
    "the proxy itself, and no addresses": (binary(0x20, 0x00, b""), "", None),
    "unspecified": (binary(0x21, 0x00, b"\xff" * 99), "", None),
    "nothing that is known": (binary(0x21, 0x11, TCP4 + value(0x04, b"pad") + value(0xE0, b"own")),
                              "203.0.113.9:40000", None),
    "facts": (
        binary(0x21, 0x11, TCP4 + value(0x01, b"h2") + value(0x02, b"api.example") + value(0x05, b"\0id")),
        "203.0.113.9:40000",
        ProxyFacts(authority="api.example", alpn=b"h2", unique_id=b"\0id"),
    ),
    "TLS": (
        binary(0x21, 0x11, TCP4 + tls(0x03, 0, version=b"TLSv1.3", name="Ärzte".encode(), cipher=b"X")),
        "203.0.113.9:40000",
        ProxyFacts(
            tls=True, tls_version="TLSv1.3", cipher="X", certificate=True, verified=True, common_name="Ärzte"
        ),
    ),
    "TLS, resumed, and not verified": (
        binary(0x21, 0x11, TCP4 + tls(0x05, 18, name=b"\xff")),
        "203.0.113.9:40000",
        ProxyFacts(tls=True, certificate=True, common_name="\\xff"),
    ),
    "TLS without a certificate": (
        binary(0x21, 0x11, TCP4 + tls(0x01, 0)), "203.0.113.9:40000", ProxyFacts(tls=True)
    ),
    # Of the whole header. That HAProxy's are found right: tests/interop/test_proxy_protocol.py.
    "a checksum": (
        SIGNATURE + bytes.fromhex("2111001301020304050607080009000a0300046147e1ca"),
        "1.2.3.4:9",
        None,
    ),
    "as long as can be": (
        binary(0x21, 0x11, TCP4 + value(0x04, bytes(LONGEST - 16 - 12 - 3))), "203.0.113.9:40000", None
    ),
}  # fmt: skip


@pytest.mark.parametrize(("header", "peer", "facts"), GOOD.values(), ids=GOOD)
def test_what_it_tells(header: bytes, peer: str, facts: ProxyFacts | None) -> None:
    read = ProxyHeader()
    assert read.feed(header + PREFACE) == len(header), "and not a byte of what follows"
    assert (read.done, read.peer, read.facts) == (True, peer, facts)


@settings(max_examples=300, deadline=None)
@given(
    header=st.sampled_from([header for header, _, _ in GOOD.values() if len(header) < 1000]),
    cuts=st.lists(st.integers(1, 300), max_size=60),
)
def test_at_any_split_it_is_the_same(header: bytes, cuts: list[int]) -> None:
    whole = ProxyHeader()
    whole.feed(header)
    read, data, taken = ProxyHeader(), header + PREFACE, 0
    for cut in [*cuts, len(data)]:
        if read.done:
            break
        assert taken < len(header)
        taken += read.feed(data[taken : taken + cut])
    assert taken == len(header)
    assert (read.done, read.peer, read.facts) == (True, whole.peer, whole.facts)


@pytest.mark.parametrize("header", [header for header, _, _ in GOOD.values() if len(header) < 1000])
def test_one_that_is_cut_off_is_not_done(header: bytes) -> None:
    for end in range(len(header)):
        read = ProxyHeader()
        assert read.feed(header[:end]) == end
        assert not read.done


BAD: dict[str, tuple[bytes, str]] = {
    "no header": (PREFACE, "it begins with b'PRI"),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", "it begins with"),
    "another method": (b"PROPFIND / HTTP/1.1\r\n", "it begins with b'PROPFIND"),
    "small letters": (b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "it begins with b'proxy"),
    "almost the signature": (SIGNATURE[:-1] + b"\r" + bytes(40), "it begins with"),
    "an endless line": (b"PROXY TCP4 " + b"1" * 200, "longer than 107"),
    "an endless unknown line": (b"PROXY UNKNOWN " + b" " * 200, "longer than 107"),
    "a line without its LF": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r" + PREFACE, "has no end"),
    "a line without its CR": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + PREFACE, "cannot be read"),
    "a line that ends too early": (b"PROXY \r\n" + PREFACE, "its line"),
    "a family that is none": (LINE % b"TCP5 1.2.3.4 1.2.3.4 1 2", "cannot be read"),
    "datagrams": (LINE % b"UDP4 1.2.3.4 1.2.3.4 1 2", "cannot be read"),
    "the wrong family": (LINE % b"TCP4 ::1 ::1 1 2", "cannot be read"),
    "the other wrong family": (LINE % b"TCP6 1.2.3.4 1.2.3.4 1 2", "cannot be read"),
    "a scope": (LINE % b"TCP6 fe80::1%eth0 ::1 1 2", "cannot be read"),
    "a port too high": (LINE % b"TCP4 1.2.3.4 1.2.3.4 65536 2", "cannot be read"),
    "a port with zeros": (LINE % b"TCP4 1.2.3.4 1.2.3.4 080 2", "cannot be read"),
    "a port that is negative": (LINE % b"TCP4 1.2.3.4 1.2.3.4 -1 2", "cannot be read"),
    "no ports": (LINE % b"TCP4 1.2.3.4 1.2.3.4", "cannot be read"),
    "one port": (LINE % b"TCP4 1.2.3.4 1.2.3.4 1", "cannot be read"),
    "three ports": (LINE % b"TCP4 1.2.3.4 1.2.3.4 1 2 3", "cannot be read"),
    "two spaces": (LINE % b"TCP4  1.2.3.4 1.2.3.4 1 2", "cannot be read"),
    "octal numbers": (LINE % b"TCP4 010.2.3.4 1.2.3.4 1 2", "cannot be read"),
    "version 1 in binary": (binary(0x11, 0x11, TCP4), "version and command, 0x11"),
    "version 3": (binary(0x31, 0x11, TCP4), "version and command, 0x31"),
    "command 2": (binary(0x22, 0x11, TCP4), "version and command, 0x22"),
    "UDP": (binary(0x21, 0x12, TCP4), "of datagrams"),
    "family 4": (binary(0x21, 0x41, bytes(300)), "family and transport, 0x41"),
    "family without transport": (binary(0x21, 0x10, TCP4), "family and transport, 0x10"),
    "too short": (binary(0x21, 0x11, TCP4[:-1]), "too short for its addresses"),
    "too short for a path": (binary(0x21, 0x31, UNIX[:-1]), "too short for its addresses"),
    "too long": (SIGNATURE + struct.pack(">BBH", 0x21, 0x11, LONGEST - 15), "16385 bytes, and 16384"),
    "too long, of the proxy": (SIGNATURE + struct.pack(">BBH", 0x20, 0, 65_535), "65551 bytes, and 16384"),
    "a value cut off": (binary(0x21, 0x11, TCP4 + b"\x04\0"), "cut off"),
    "a value that lies": (binary(0x21, 0x11, TCP4 + b"\x04\0\x09x"), "0x04 is longer than what is left"),
    "TLS, too short": (binary(0x21, 0x11, TCP4 + value(0x20, b"\x01\0\0\0")), "of TLS is too short"),
    "TLS that lies": (
        binary(0x21, 0x11, TCP4 + value(0x20, bytes(5) + b"\x22\xff\xffx")), "0x22 is longer than"
    ),
    "TLS that reaches beyond": (
        binary(0x21, 0x11, TCP4 + value(0x20, bytes(5) + b"\x22\0\x05x") + value(0x04, b"xxxxxxxx")),
        "0x22 is longer than",
    ),
    "a name twice": (
        binary(0x21, 0x11, TCP4 + tls(0x03, 0, name=b"one") + tls(0x03, 0, name=b"other")), "0x20 twice"
    ),
    "a wrong checksum": (binary(0x21, 0x11, TCP4 + value(0x03, b"\0\0\0\0")), "checksum is wrong"),
    "a short checksum": (binary(0x21, 0x11, TCP4 + value(0x03, b"\0\0")), "checksum is wrong"),
}  # fmt: skip


def complaint(header: bytes, step: int) -> tuple[int, str]:
    """When it is refused, and why."""
    read = ProxyHeader()
    for start in range(0, len(header), step):
        try:
            read.feed(header[start : start + step])
        except ProxyHeaderError as error:
            return start + step, str(error)
        assert not read.done
    return 0, ""


@pytest.mark.parametrize(("header", "why"), BAD.values(), ids=BAD)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_is_refused(header: bytes, why: str, step: int) -> None:
    _, told = complaint(header, step)
    assert why.partition(" b'")[0] in told
    if step > 100:
        assert why in told


def test_what_cannot_become_one_is_refused_at_once() -> None:
    for header, at in ((PREFACE, 3), (b"\x16\x03\x01", 1), (BAD["too long"][0] + bytes(99), 16)):
        assert complaint(header, 1)[0] == at


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0"]),
)
def test_nothing_else_is_raised_and_nothing_more_is_kept(junk: bytes, begin: bytes) -> None:
    read = ProxyHeader()
    try:
        taken = read.feed(begin + junk)
    except ProxyHeaderError:
        return
    assert taken <= LONGEST
    assert read.done or taken == len(begin + junk)


@pytest.mark.parametrize("flip", [lambda byte: byte ^ 1, lambda byte: byte ^ 0x80])
def test_a_checksum_finds_any_flipped_bit_of_what_it_covers(flip: Callable[[int], int]) -> None:
    header = bytearray(GOOD["a checksum"][0])
    for at in (*range(16, 28), *range(31, 35)):
        broken = bytes([*header[:at], flip(header[at]), *header[at + 1 :]])
        with pytest.raises(ProxyHeaderError, match="checksum is wrong"):
            ProxyHeader().feed(broken)
