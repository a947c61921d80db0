"""What happens is handled one by one, and what fails there ends only what it must."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest

from actorrpc.broker.events import Events
from tests.support.waiting import PATIENCE


class Fatal(Exception):
    pass


@pytest.fixture
def events() -> Events:
    return Events(lambda error: isinstance(error, Fatal))


def fail(error: Exception) -> Callable[[], object]:
    def event() -> object:
        raise error

    return event


def test_events_are_handled_in_order_until_something_is_reached(events: Events) -> None:
    seen: list[int] = []
    for number in range(4):
        events.put(lambda number=number: seen.append(number))
    assert events.until(lambda: len(seen) == 3)
    assert seen == [0, 1, 2]
    assert not events.until(lambda: False, 0.01)
    assert seen == [0, 1, 2, 3]


def test_what_is_not_fatal_is_logged(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    events.put(fail(ValueError("harmless")))
    events.put(lambda: seen.append("later"))
    assert events.until(lambda: bool(seen), PATIENCE)
    assert "ValueError: harmless" in caplog.text


def test_what_is_fatal_ends_it(events: Events) -> None:
    events.put(fail(Fatal()))
    with pytest.raises(Fatal):
        events.until(lambda: False, PATIENCE)


def test_who_calls_gets_what_comes_of_it(events: Events) -> None:
    answers: list[object] = []

    def ask() -> None:
        answers.append(events.call(lambda: 42))
        with pytest.raises(Fatal):  # it is the caller's
            events.call(fail(Fatal()))
        answers.append("raised")

    asking = gevent.spawn(ask)
    assert events.until(lambda: len(answers) == 2, PATIENCE)
    asking.get(timeout=PATIENCE)
    assert answers == [42, "raised"]
