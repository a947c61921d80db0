"""How many lines of one kind there may be, and how the others are told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import gevent
import pytest

import actorrpc
from actorrpc.hub.serving.connection import log as hub_log
from actorrpc.log import LOGGERS, about
from actorrpc.log.limits import LIMITS, LINES, MAX_KINDS, SECONDS, Limits
from tests.apps.shapes import app
from tests.support.raw_client import RawClient
from tests.support.waiting import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def take(self) -> list[str]:
        taken, self.lines = self.lines, []
        return taken


class Limited:
    """A logger with limits and a clock of its own."""

    def __init__(self, name: str) -> None:
        self.clock = Clock()
        self.limits = Limits(self.clock)
        self.said = Said()
        self.log = logging.getLogger(name)
        self.log.setLevel(logging.DEBUG)
        self.log.propagate = False
        self.log.filters = [self.limits]
        self.log.handlers = [self.said]


@pytest.fixture
def limited() -> Limited:
    return Limited("tests.limited")


def test_the_first_are_written_and_the_others_counted(limited: Limited) -> None:
    for number in range(3000):
        limited.log.error("line %d", number)
    assert limited.said.take() == [f"line {number}" for number in range(LINES)]
    limited.clock.now += SECONDS - 0.1
    limited.limits.tell()
    limited.log.error("line %d", 3000)
    assert limited.said.take() == []
    limited.clock.now += 0.1
    limited.limits.tell()  # with no new line
    assert limited.said.take() == [f"and {3001 - LINES} more in the last 10 s like: line {LINES - 1}"]
    limited.limits.tell()
    limited.clock.now += SECONDS
    limited.limits.tell()
    assert limited.said.take() == []


def test_what_was_left_out_is_told_before_the_next(limited: Limited) -> None:
    for number in range(LINES + 2):
        limited.log.warning("line %d", number)
    limited.said.take()
    limited.clock.now += 25
    limited.log.warning("line %d", 100)
    assert limited.said.take() == [f"and 2 more in the last 25 s like: line {LINES - 1}", "line 100"]


def test_all_can_be_told_at_once(limited: Limited) -> None:
    for _ in range(LINES + 2):
        limited.log.error("a line")
    limited.said.take()
    limited.limits.tell(everything=True)
    assert limited.said.take() == ["and 2 more in the last 1 s like: a line"]


def fail_here() -> None:
    raise ValueError("here")


def fail_there() -> None:
    raise ValueError("there")


#: Lines that are of another kind than ``log.error("it raised")`` about a ValueError from ``fail_here``.
OTHERS: dict[str, Callable[[logging.Logger], None]] = {
    "template": lambda log: log.error("it raises"),
    "level": lambda log: log.warning("it raised"),
    "subject": lambda log: log.error("it raised", extra=about("another method")),
    "allowance": lambda log: log.error("it raised", extra=about(lines=1)),
    "no exception": lambda log: log.error("it raised"),
    "place": lambda log: raise_and_log(log, fail_there),
    "type": lambda log: raise_and_log(log, lambda: int("no number")),
}


def raise_and_log(log: logging.Logger, function: Callable[[], object]) -> None:
    try:
        function()
    except ValueError:
        log.exception("it raised")


@pytest.mark.parametrize("what", OTHERS)
def test_one_kind_does_not_silence_another(limited: Limited, what: str) -> None:
    for _ in range(100):
        raise_and_log(limited.log, fail_here)
    assert len(limited.said.take()) == LINES
    OTHERS[what](limited.log)
    assert len(limited.said.take()) == 1


def test_loggers_do_not_silence_each_other(limited: Limited) -> None:
    other = Limited("tests.limited.other")
    other.log.filters = [limited.limits]
    for _ in range(LINES + 1):
        limited.log.error("a line")
    other.log.error("a line")
    assert other.said.take() == ["a line"]


def test_arguments_make_no_kind(limited: Limited) -> None:
    for number in range(100):
        limited.log.error("%s from %s", f"connection {number}", ValueError(str(number)))
    assert len(limited.said.take()) == LINES


def test_a_kind_may_have_another_allowance(limited: Limited) -> None:
    for _ in range(10):
        limited.log.error("a line", extra=about("x", lines=1, seconds=60))
    assert limited.said.take() == ["a line"]
    limited.clock.now += 59
    limited.limits.tell()
    assert limited.said.take() == []
    limited.clock.now += 1
    limited.limits.tell()
    assert limited.said.take() == ["and 9 more in the last 60 s like: a line"]


def test_who_asks_for_debug_gets_all_of_it(limited: Limited) -> None:
    for _ in range(100):
        limited.log.debug("a line")
    assert len(limited.said.take()) == 100


def test_kinds_are_limited_too(limited: Limited) -> None:
    for number in range(10 * MAX_KINDS):
        limited.log.error(f"line {number}")  # what nobody should do
    assert len(limited.said.take()) == MAX_KINDS + LINES
    limited.clock.now += SECONDS
    limited.log.error("a line")
    assert limited.said.take() == ["a line"]
    limited.limits.tell()
    assert len(limited.said.take()) == 1  # of those that had no room


def test_a_text_that_cannot_be_had_is_no_example(limited: Limited) -> None:
    for _ in range(LINES + 1):
        limited.limits.filter(logging.LogRecord("tests.limited", 40, "", 1, "%d!", ("x",), None))
    limited.limits.tell(everything=True)
    assert limited.said.take() == ["and 1 more in the last 1 s like: %d!"]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_what_passes_has_nothing_of_ours(limited: Limited, level: int) -> None:
    """A program may send its records elsewhere, pickled, or write all that they have."""
    records: list[logging.LogRecord] = []
    limited.said.emit = records.append  # type: ignore[method-assign]
    limited.log.log(level, "%s", "a line", extra=about("a hook"))
    (record,) = records
    usual = logging.LogRecord("", 0, "", 0, "", (), None).__dict__
    assert set(record.__dict__) - {"message"} == set(usual)


@pytest.mark.parametrize("name", LOGGERS)
def test_each_logger_is_limited(name: str, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        logging.getLogger(name).error("a line")
    assert len(caplog.records) == LINES


# ---- who tells what was left out


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(LIMITS, "_clock", clock)
    yield clock
    LIMITS.forget()


def told(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [line for line in (record.getMessage() for record in caplog.records) if words in line]


def test_a_server_tells_what_its_clients_caused(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Also where the log is a program's own, and nothing more comes."""
    caplog.set_level(logging.INFO, "actorrpc")
    with ExitStack() as clients, actorrpc.Server(app) as server:
        for _ in range(LINES + 3):
            clients.enter_context(RawClient(server.address, b"nonsense"))
        until(lambda: sum(window.left_out for window in LIMITS._windows.values()) == 3, sleep=gevent.sleep)
        assert len(told(caplog, "connection ")) == LINES
        clock.now += SECONDS
        until(lambda: told(caplog, "and 3 more in the last 10 s like: connection "), sleep=gevent.sleep)


def test_a_server_that_stops_tells_at_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with actorrpc.Server(app):
        for _ in range(LINES + 3):
            hub_log.error("a line")
        assert not told(caplog, "more")
    assert told(caplog, "and 3 more in the last 1 s like: a line")
