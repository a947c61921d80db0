"""What happens is handled one by one, and what fails there ends only what it must."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gevent
import pytest

from actorrpc.broker.events import Events
from actorrpc.errors import ConfigError, TooManyRestarts
from tests.support.waiting import PATIENCE


def fail(error: Exception) -> Callable[[], object]:
    def event() -> object:
        raise error

    return event


def test_events_are_handled_in_order_until_something_is_reached() -> None:
    events, seen = Events(), list[int]()
    for number in range(4):
        events.put(partial(seen.append, number))
    assert events.until(lambda: len(seen) == 3)
    assert seen == [0, 1, 2]
    assert not events.until(lambda: False, 0.01)
    assert seen == [0, 1, 2, 3]


def test_what_fails_is_logged_once_all_serve(caplog: pytest.LogCaptureFixture) -> None:
    events, seen = Events(), list[int]()
    events.put(fail(ValueError("at first")))
    with pytest.raises(ValueError, match="at first"):
        events.until(lambda: False)
    events.outlive_errors = True
    events.put(fail(ValueError("harmless")))
    events.put(partial(seen.append, 1))
    assert events.until(lambda: bool(seen), PATIENCE)
    assert "ValueError: harmless" in caplog.text
    events.put(fail(TooManyRestarts("enough")))
    with pytest.raises(TooManyRestarts):
        events.until(lambda: False)


def test_who_asks_for_a_change_gets_what_comes_of_it() -> None:
    events, answers = Events(), list[object]()

    def ask() -> None:
        answers.append(events.change(lambda: 42))
        with pytest.raises(ZeroDivisionError):  # it is the asker's
            events.change(lambda: 1 // 0)
        answers.append("raised")
        events.put(lambda: None)  # it looks again

    asking = gevent.spawn(ask)
    assert events.until(lambda: len(answers) == 2, PATIENCE)
    asking.get(timeout=PATIENCE)
    assert answers == [42, "raised"]


def test_changes_that_wait_are_refused_and_not_made() -> None:
    events, made = Events(), list[int]()
    asking = gevent.spawn(events.change, partial(made.append, 1))
    gevent.sleep(0)
    events.refuse("the server is stopping")
    with pytest.raises(ConfigError, match="stopping"):
        asking.get(timeout=PATIENCE)
    with pytest.raises(ConfigError, match="stopping"):
        events.change(partial(made.append, 2))
    events.until(lambda: False, 0.01)
    assert made == []
