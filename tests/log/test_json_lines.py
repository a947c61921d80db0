"""Records as JSON: whatever texts there are, a record is one line, no longer than a pipe keeps together."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorrpc.log import Ids, JsonFormatter, about
from actorrpc.log.escaping import AT_ONCE

texts = st.lists(
    st.one_of(st.text(), st.sampled_from(["\n", "\x00", "\u2028", "\ud800", "\N{CRAB}" * 999, "x" * 9999]))
).map("".join)

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Said(Exception):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def record(message: str, *args: object, error: BaseException | None = None, **extra: Any) -> Any:
    made = logging.LogRecord("actorrpc.hub", logging.ERROR, __file__, 1, message, args, None)
    if error is not None:
        try:
            raise error
        except BaseException:
            made.exc_info = sys.exc_info()
    made.__dict__.update(extra)
    return made


def line(made: logging.LogRecord) -> dict[str, Any]:
    """What the formatter writes, which must be sound."""
    text = JsonFormatter("hub 0").format(made)
    assert text.isascii() and text.isprintable()
    assert len(text) < AT_ONCE
    found: dict[str, Any] = json.loads(text)
    return found


def test_what_a_line_has() -> None:
    made = record("%s of %d", "one", 2)
    made.created, made.process = 1_000_000_000.25, 4711
    assert line(made) == {
        "time": "2001-09-09T01:46:40.250000Z",
        "level": "ERROR",
        "logger": "actorrpc.hub",
        "role": "hub 0",
        "pid": 4711,
        "message": "one of 2",
    }


def test_ids_are_fields() -> None:
    made = record("text", **{**about("a kind", hub=0, connection="0-1-7", call="0-1-7/3", move="f")})
    assert Ids().filter(made)
    found = line(made)
    assert (found["hub"], found["connection"], found["call"], found["move"]) == (0, "0-1-7", "0-1-7/3", "f")
    assert "about" not in found


def test_ids_that_there_are_none_of_are_empty_for_formats_and_no_fields() -> None:
    made = record("text")
    assert Ids().filter(made)
    assert logging.Formatter("%(hub)s|%(connection)s|%(call)s|%(move)s").format(made) == "|||"
    assert not {"hub", "connection", "call", "move"} & set(line(made))


def test_what_follows_a_message_is_a_text() -> None:
    made = record("text", error=Said("a\nb"), detail="where\nit is\n")
    made.stack_info = "Stack"
    found = line(made)
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("Said: a\nb")
    assert (found["detail"], found["stack"]) == ("where\nit is", "Stack")


@given(texts, texts, texts, texts)
def test_it_is_one_line_whatever_is_said(message: str, error: str, detail: str, id: str) -> None:
    found = line(record("%s", message, error=Said(error), detail=detail, connection=id))
    assert TIME.fullmatch(found["time"])
    assert list(found)[:5] == ["time", "level", "logger", "role", "pid"]
    if len(message) + len(error) + len(detail) + len(id) < 100:
        assert found["message"] == message
        said = f"Said: {error}".rstrip("\n") if error else "Said"
        assert found["exception"].endswith(said)


@pytest.mark.parametrize("size", range(2500, 4200, 7))
def test_of_what_is_too_long_both_ends_are_left(size: int) -> None:
    """At each length around the longest, with what JSON makes longer."""
    found = line(record("text", error=Said("é" * (size // 6) + "the reason")))
    assert found["message"] == "text"
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("the reason")


def test_as_much_is_left_as_there_is_room_for() -> None:
    made = record("text", error=Said("x" * 20_000))
    assert AT_ONCE * 0.85 < len(JsonFormatter("hub 0").format(made)) < AT_ONCE


def test_what_cannot_be_shown_ends_nothing() -> None:
    found = line(record("%d", "x", error=Mute()))
    assert found["message"] == "%d (its arguments cannot be shown: TypeError)"
    assert found["exception"].startswith("Traceback") or "cannot be shown" in found["exception"]
