"""What a line may hold: whatever texts there are, a record is one line, and what follows it is indented."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.log import LOGGERS, LineFormatter, escape
from actorrpc.log.escaping import LONGEST_MESSAGE, LONGEST_TRACE

#: Any text, and more of what is dangerous than chance would bring.
texts = st.lists(
    st.one_of(st.text(), st.sampled_from(["\n", "\r", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ud800", "%s"]))
).map("".join)

FIRST = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR hub 0: ")


class Said(Exception):
    """Says what it is given."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def record(message: str, *args: object, exc_info: Any = None, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("actorrpc.hub", logging.ERROR, __file__, 1, message, args, exc_info)
    made.__dict__.update(extra)
    return made


def raised(error: BaseException) -> Any:
    try:
        raise error
    except BaseException:
        return sys.exc_info()


def lines(made: logging.LogRecord) -> list[str]:
    """What the formatter writes, which must be sound."""
    text = LineFormatter("hub 0").format(made)
    text.encode()  # no lone surrogate
    first, *others = text.split("\n")
    assert FIRST.match(first)
    assert all(line.startswith("    ") for line in others)
    assert all(line.isprintable() for line in (first, *others))
    return [first, *others]


@given(texts)
def test_an_escaped_text_is_seen_as_it_is(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    assert escape(escaped) == escaped
    assert escaped == text or not text.isprintable()


def test_escapes() -> None:
    assert escape("grün, 漢字, 🎭") == "grün, 漢字, 🎭"
    assert escape("a\nb\r\t\x1b[31m\u202e\ud800\x85") == "a\\nb\\r\\t\\x1b[31m\\u202e\\ud800\\x85"


@given(texts, texts)
def test_a_record_is_one_line(text: str, other: str) -> None:
    assert len(lines(record("%s and %r", text, other))) == 1
    assert len(lines(record(text))) == 1


@given(texts, texts)
def test_a_traceback_forges_no_line(text: str, cause: str) -> None:
    error = Said(text)
    error.__cause__ = Said(cause)
    found = lines(record("it raised", exc_info=raised(error)))
    assert found[-1].startswith("    ") and "it raised" in found[0]


@given(texts)
def test_what_is_shown_in_several_lines_forges_none(text: str) -> None:
    lines(record("it hangs", detail=text))


def test_a_text_that_cannot_be_had() -> None:
    (line,) = lines(record("%s", Mute()))
    assert "its arguments cannot be shown: SystemExit" in line
    assert "Mute" in "\n".join(lines(record("it raised", exc_info=raised(Mute()))))
    (line,) = lines(record("%d", "no number"))
    assert "TypeError" in line


def test_what_is_long_loses_its_middle() -> None:
    (line,) = lines(record("%s", f"a{'x' * LONGEST_MESSAGE}b"))
    assert "[…]" in line and line.endswith("b") and len(line) < LONGEST_MESSAGE + 100
    found = "".join(lines(record("so", exc_info=raised(Said("\n" * LONGEST_TRACE + "the end")))))
    assert "Traceback" in found and found.endswith("the end")


# ---- in a program with handlers of its own


class Kept(logging.Handler):
    """Keeps what a stock formatter makes of records."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


@pytest.mark.parametrize("name", LOGGERS)
def test_each_logger_escapes_what_it_is_given(name: str) -> None:
    kept = Kept()
    log = logging.getLogger(name)
    log.addHandler(kept)
    try:
        log.error("%s, %r, %s, %d", "a\nb", "c\x1b", Said("d\ne"), 5)
        log.error("%(what)s", {"what": "f\ng"})
        log.error("%s", Mute())
        log.error("%s, as it is, of %s", "a\\b", 7)
    finally:
        log.removeHandler(kept)
    assert kept.texts == [
        "a\\nb, 'c\\x1b', d\\ne, 5",
        "f\\ng",
        "<Mute, whose text cannot be shown: SystemExit>",
        "a\\b, as it is, of 7",
    ]


def test_other_loggers_are_let_be() -> None:
    kept = Kept()
    log = logging.getLogger("an.app")
    log.addHandler(kept)
    try:
        for _ in range(100):
            log.error("%s", "a\nb")
    finally:
        log.removeHandler(kept)
    assert kept.texts == ["a\nb"] * 100
