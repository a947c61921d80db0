"""What is done whatever else fails, and how failures are told."""

from __future__ import annotations

import logging
from functools import partial

import pytest

from actorrpc.loop.duties import LONGEST, brief, do_all, reason

log = logging.getLogger("actorrpc.tests")


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError("not even that")


def fail(error: BaseException) -> None:
    raise error


def test_each_is_done(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    duties = [partial(done.append, 1), partial(fail, Mute()), partial(done.append, 2)]
    do_all(log, "a test", *duties)
    assert done == [1, 2]
    assert "error in a test, which goes on" in caplog.text


def test_what_is_meant_for_the_program_comes_through_at_the_end() -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        do_all(log, "a test", partial(fail, KeyboardInterrupt()), partial(done.append, 1))
    assert done == [1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("as it is", "as it is"),
        ("", ""),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * (LONGEST + 1), "x" * (LONGEST - 4) + " […]"),
        ("a lone \ud800 surrogate", "a lone \\ud800 surrogate"),
    ],
)
def test_brief(text: str, told: str) -> None:
    assert brief(text) == told
    brief(text).encode()


def test_reasons() -> None:
    assert reason(ValueError("so")) == "ValueError: so"
    assert reason(Mute()) == "Mute: its text cannot be shown: ZeroDivisionError"
    assert len(reason(ValueError("x" * 10**6))) == LONGEST
