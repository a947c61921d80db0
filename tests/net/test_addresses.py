"""How addresses are written and read."""

from __future__ import annotations

import pytest

from actorrpc.net.addresses import address_text, parse_address


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
        ("/run/a.sock", "/run/a.sock"),
    ],
)
def test_an_address_is_written_as_it_is_read(address: object, text: str) -> None:
    assert address_text(address) == text
    if isinstance(address, tuple):
        assert parse_address(text) == address[:2]
