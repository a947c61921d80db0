"""Timers count from now, however long the step of the loop has taken until then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import get_hub
from gevent.event import Event

from actorrpc.hub.moving.mover import _timer
from actorrpc.loop.timers import Timer, after, every

TURN, DELAY = 0.2, 0.15


def in_a_long_step(function: Callable[[], Any]) -> Any:
    """What a function returns, called in a step of the loop that has taken ``TURN`` seconds by then."""
    reader, writer = os.pipe()
    watcher = get_hub().loop.io(reader, 1)
    done = Event()
    returned: list[Any] = []

    def step() -> None:
        watcher.stop()
        time.sleep(TURN)
        returned.append(function())
        done.set()

    watcher.start(step)
    os.write(writer, b"x")
    done.wait()
    watcher.close()
    os.close(reader)
    os.close(writer)
    return returned[0]


@pytest.mark.parametrize("make", [after, every, _timer], ids=["after", "every", "handoff"])
def test_a_timer_counts_from_now(make: Callable[[float, Callable[[], None]], Any]) -> None:
    fired: list[float] = []
    first = Event()

    def fire() -> None:
        fired.append(time.monotonic())
        first.set()

    def start() -> tuple[float, Any]:
        return time.monotonic(), make(DELAY, fire)

    began, timer = in_a_long_step(start)
    first.wait()
    (timer if callable(timer) else timer.close)()
    assert fired[0] - began >= DELAY - 0.002


def test_what_is_repeated_goes_on_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    times: list[int] = []
    enough = Event()

    def fail() -> None:
        times.append(len(times))
        if len(times) == 3:
            enough.set()
        raise ZeroDivisionError

    timer = every(0.001, fail)
    enough.wait()
    timer.close()
    gevent.sleep(0)
    assert capsys.readouterr().err.count("ZeroDivisionError") >= 3


def test_a_timer_that_is_set_again_or_stopped_calls_only_what_was_set_last() -> None:
    called: list[str] = []
    done = Event()
    timer, stopped = Timer(), Timer()
    timer.set(0.0, called.append, "first")
    timer.set(0.0, called.append, "second")
    stopped.set(0.0, called.append, "stopped")
    assert timer.active and stopped.active
    stopped.stop()
    assert not stopped.active
    after(0.01, done.set)
    done.wait()
    assert called == ["second"]
    assert timer.active, "until it is stopped"
    timer.stop()
    timer.stop()
    assert not timer.active
