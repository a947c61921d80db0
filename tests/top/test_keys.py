"""Bytes from a terminal, in pieces of any length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.cli.top.keys import PASTED, Keys

TYPED = {
    b"q": ["q"],
    b"\r": ["enter"],
    b"\n": ["enter"],
    b"\x7f": ["backspace"],
    b"\t": ["tab"],
    b"\x1b[A": ["up"],
    b"\x1bOB": ["down"],
    b"\x1b[5~": ["page up"],
    b"\x1b[1;5C": [],
    b"\x1b[999;999R": [],
    "\u00e9".encode(): ["\u00e9"],
    b"\xff": [],
    b"\x00\x01": [],
    b"\x1bx": ["esc", "x"],
    b"\x1b[200~R\ny\x1b[201~q": [f"{PASTED}Ry", "q"],
}


@pytest.mark.parametrize(("data", "keys"), TYPED.items(), ids=[repr(data) for data in TYPED])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_each_key(data: bytes, keys: list[str], size: int) -> None:
    read = Keys()
    found = [key for at in range(0, len(data), size) for key in read.feed(data[at : at + size])]
    assert found == keys
    assert not read.half


def test_esc_is_known_when_nothing_follows() -> None:
    read = Keys()
    assert read.feed(b"\x1b") == []
    assert read.half
    assert read.flush() == ["esc"]
    assert not read.half
    assert read.feed(b"q") == ["q"]


def test_what_is_pasted_is_no_keys_however_it_comes() -> None:
    read = Keys()
    assert read.feed(b"\x1b[200~R") == []
    assert read.flush() == []
    assert read.feed(b"y\x1b[20") == []
    assert read.feed(b"1~") == [f"{PASTED}Ry"]


@pytest.mark.parametrize("cut", range(6))
def test_a_paste_of_any_length_is_bounded_and_ends(cut: int) -> None:
    read = Keys()
    assert read.feed(b"\x1b[200~" + 100_000 * b"R" + b"\x1b[201~"[:cut]) == []
    assert len(repr(read._text)) < 6000
    (pasted,) = read.feed(b"\x1b[201~"[cut:])
    assert pasted.startswith(f"{PASTED}RRR")
    assert read.feed(b"q") == ["q"]


@given(st.binary(max_size=60))
def test_nothing_is_too_odd(data: bytes) -> None:
    read = Keys()
    keys = [*read.feed(data), *read.flush()]
    assert all(key.isprintable() for key in keys)
    whole = Keys()
    pieces = [key for at in range(len(data)) for key in whole.feed(data[at : at + 1])]
    assert [*pieces, *whole.flush()] == keys
