"""When a silent hub is reported, and when it is killed: with hubs that are not there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event

from actorrpc.broker.watching.dumps import NoStack, Place
from actorrpc.broker.watching.hangs import CHECK, LATE, Hangs
from actorrpc.config import Config
from actorrpc.log import LIMITS
from tests.support.waiting import until

NEVER = 1000.0


class FakeProcess:
    """A hub's process, and how often it was killed."""

    def __init__(self, hub: int = 0) -> None:
        self.hub, self.pid = hub, 4242 + hub
        self.ready = self.linked = True
        self.heard = time.monotonic()
        self.was_silent = 0.0
        self.places: list[Place] | None = [Place("/srv/app.py", 7, "Nap")]
        #: What its stack waits for.
        self.told = Event()
        self.told.set()
        self.kills = 0

    def hear(self) -> None:
        self.was_silent = time.monotonic() - self.heard
        self.heard = time.monotonic()

    def stack(self) -> list[Place]:
        self.told.wait()
        if self.places is None:
            raise NoStack("it is far away")
        return self.places

    def kill(self) -> None:
        self.kills += 1


class Watch:
    """``Hangs`` for some processes, and what has been logged."""

    def __init__(self, log: pytest.LogCaptureFixture) -> None:
        self.processes: list[Any] = []
        self._log = log
        self._hangs: list[Hangs] = []
        self._config = Config()

    def begin(self, process: FakeProcess, **config: float) -> None:
        self.processes = [process]
        self.configure(**config)
        self._hangs.append(Hangs(lambda: self._config, lambda: self.processes))

    def configure(self, **config: float) -> None:
        self._config = Config(**config)  # type: ignore[arg-type]

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._log.records if record.name == "actorrpc.broker"]

    def until_lines(self, count: int) -> list[str]:
        until(lambda: len(self.lines) >= count, sleep=gevent.sleep)
        return self.lines

    def looks(self, count: int) -> None:
        """It has looked so often, and once more."""
        gevent.sleep(CHECK * (count + 0.5))

    def close(self) -> None:
        for hangs in self._hangs:
            hangs.close()


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Iterator[Watch]:
    caplog.set_level(logging.INFO, "actorrpc.broker")
    LIMITS.forget()
    watch = Watch(caplog)
    yield watch
    watch.close()


def test_one_that_stays_silent_is_reported_once_and_killed_once(watch: Watch) -> None:
    process = FakeProcess()
    watch.begin(process, hang_timeout=0.3, kill_timeout=1.0)
    first, second = watch.until_lines(2)
    assert first.startswith("hub 0 (pid 4242) has said nothing for 0.")
    assert first.endswith("its loop is held by Nap (/srv/app.py, line 7)")
    assert second.startswith("hub 0 (pid 4242) has said nothing for 1.") and second.endswith(": killed")
    watch.looks(3)
    assert (process.kills, len(watch.lines)) == (1, 2)


def test_after_a_reload_it_goes_by_the_new_config(watch: Watch) -> None:
    process = FakeProcess()
    watch.begin(process, hang_timeout=NEVER, kill_timeout=NEVER)
    watch.looks(2)
    assert watch.lines == []
    watch.configure(hang_timeout=0.1, kill_timeout=0.0)
    watch.until_lines(1)
    watch.looks(2)
    assert process.kills == 0
    watch.configure(hang_timeout=0.1, kill_timeout=0.2)
    assert watch.until_lines(2)[1].endswith("(--kill-timeout): killed")


def test_none_is_killed_that_has_not_been_reported(watch: Watch) -> None:
    process = FakeProcess()
    process.told.clear()
    watch.begin(process, hang_timeout=0.0, kill_timeout=0.3)
    watch.looks(3)
    assert (process.kills, watch.lines) == (0, [])
    process.told.set()
    report, killed = watch.until_lines(2)
    assert "held by Nap" in report and killed.endswith("killed")


def test_one_that_comes_back_while_its_stack_is_taken(watch: Watch) -> None:
    process = FakeProcess()
    process.told.clear()
    watch.begin(process, hang_timeout=0.3, kill_timeout=0.0)
    watch.looks(3)
    process.hear()
    watch.looks(1)
    assert watch.lines == []
    process.told.set()
    report, back = watch.until_lines(2)
    assert "held by Nap" in report
    assert back == f"hub 0 (pid 4242) is heard again: it was silent for {process.was_silent:.1f} s"


def test_each_silence_is_reported(watch: Watch) -> None:
    process = FakeProcess()
    process.places = None
    watch.begin(process, hang_timeout=0.3, kill_timeout=0.0)
    watch.until_lines(1)
    process.hear()
    lines = watch.until_lines(3)
    assert [("nothing" in line, "again" in line) for line in lines] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert lines[0].endswith("it is far away, and its stack cannot be had")


def _starting(process: FakeProcess) -> None:
    process.ready = False


def _unlinked(process: FakeProcess) -> None:
    process.linked = False


@pytest.mark.parametrize("change", [_starting, _unlinked])
def test_one_that_cannot_be_heard_is_left_alone(watch: Watch, change: Callable[[FakeProcess], None]) -> None:
    process = FakeProcess()
    change(process)
    watch.begin(process, hang_timeout=0.3, kill_timeout=0.3)
    watch.looks(4)
    assert (process.kills, watch.lines) == (0, [])


def test_one_that_has_gone_is_forgotten(watch: Watch) -> None:
    watch.begin(FakeProcess(), hang_timeout=0.3, kill_timeout=1.0)
    watch.until_lines(1)
    watch.processes = []
    watch.looks(4)
    assert len(watch.lines) == 1


def test_what_was_said_while_this_process_was_held_up_is_still_to_be_read(watch: Watch) -> None:
    process = FakeProcess()
    watch.begin(process, hang_timeout=1.0, kill_timeout=1.0)
    watch.looks(1)
    time.sleep(CHECK + LATE + 0.5)  # nothing of this loop runs
    watch.looks(1)
    assert (process.kills, watch.lines) == (0, [])
    watch.until_lines(2)
    assert process.kills == 1, "it has had its time since"
