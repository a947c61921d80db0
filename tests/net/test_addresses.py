"""How addresses are written and read."""

from __future__ import annotations

import os

import pytest

from actorrpc.net.addresses import address_text, parse_address, parse_bind, without_mapping


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
    ],
)
def test_an_address_is_read(text: str, wanted: tuple[str, int]) -> None:
    assert parse_address(text) == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "write HOST:PORT"),
        ("50051", "write HOST:PORT"),
        (":50051", "write HOST:PORT"),
        ("[]:50051", "write HOST:PORT"),
        ("localhost", "write HOST:PORT"),
        ("::1:50051", r"write an IPv6 address as \[::1\]:50051"),
        ("localhost:", "from 0 to 65535"),
        ("localhost:http", "from 0 to 65535"),
        ("localhost:-1", "from 0 to 65535"),
        ("localhost:65536", "from 0 to 65535"),
        ("localhost: 80", "from 0 to 65535"),
        ("localhost:٨٠", "from 0 to 65535"),
    ],
)
def test_what_is_not_an_address_is_told_what_to_write(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_address(text)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/a.sock", "unix:/run/a.sock"),
        ("/run/ü 50%,?#/é", "unix:/run/%C3%BC%2050%25,%3F%23/%C3%A9"),
        (b"\0app", "unix-abstract:app"),
        (b"\0a\0b", "unix-abstract:a%00b"),
    ],
)
def test_an_address_is_written_as_it_is_read(address: object, text: str) -> None:
    assert address_text(address) == text
    assert parse_bind(text) == (address[:2] if isinstance(address, tuple) else address)


def test_the_address_of_a_unix_socket_without_a_name() -> None:
    assert address_text("") == address_text(b"") == "unix:"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("unix:///run/a.sock", "/run/a.sock"),
        ("unix:a/../b.sock", f"{os.getcwd()}/b.sock"),
        ("unix:/run/%61.sock", "/run/a.sock"),
        ("unix-abstract:%61pp", b"\0app"),
        ("unix:/" + "x" * 106, "/" + "x" * 106),
        ("unix-abstract:" + "x" * 107, b"\0" + b"x" * 107),
    ],
)
def test_what_can_be_listened_on(text: str, wanted: object) -> None:
    assert parse_bind(text) == wanted


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("unix:", "write unix:PATH"),
        ("unix:/a%00b", "write unix:PATH"),
        ("unix://run/a.sock", "write unix:PATH, or unix:///PATH"),
        ("unix:/" + "x" * 107, "may have 107 bytes, and this has 108"),
        ("unix:/" + "é" * 54, "may have 107 bytes, and this has 109"),
        ("unix-abstract:", "write unix-abstract:NAME"),
        ("unix-abstract:" + "x" * 108, "may have 107 bytes, and this has 108"),
        ("nowhere", "or unix:PATH"),
    ],
)
def test_what_cannot(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_bind(text)


def test_ipv4_behind_ipv6() -> None:
    assert without_mapping("::ffff:192.0.2.1") == "192.0.2.1"
    assert without_mapping("::ffff:1") == "::ffff:1" and without_mapping("192.0.2.1") == "192.0.2.1"
