"""What is said when a hub can accept nobody: once when it begins, with the limit, and once at its end."""

from __future__ import annotations

import errno
import logging
import os
import resource

import pytest

from actorrpc.hub.accepting import shortage as module
from actorrpc.hub.accepting.shortage import CALM, Shortage


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "actorrpc.hub")


def failed(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def test_it_is_said_once_and_once_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shortage = Shortage(clock)
    assert not shortage.look(False)
    assert caplog.messages == []
    # Each client that leaves makes room for another, and then there is none again.
    for _ in range(100):
        shortage.met(failed(errno.EMFILE))
        clock.now += CALM / 2
        assert not shortage.look(False)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert len(caplog.messages) == 1
    assert f"accepting pauses: this process may have {limit} open files" in caplog.messages[0]
    assert caplog.records[0].levelno == logging.WARNING
    clock.now += CALM
    assert not shortage.look(False)
    assert not shortage.look(False)
    assert caplog.messages[1:] == [f"accepts connections again, after {99 * CALM / 2:.0f} s"]
    shortage.met(failed(errno.EMFILE))
    assert len(caplog.messages) == 3, "it is another time"


def test_a_hub_to_which_nobody_comes_says_it_too(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    shortage = Shortage(clock)
    for _ in range(10):
        assert shortage.look(True)
        clock.now += 10 * CALM
    assert len(caplog.messages) == 1
    assert not shortage.look(False)
    assert len(caplog.messages) == 2


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENFILE, "all the open files that it may have (1234, fs.file-max)"),
        (errno.ENOBUFS, "No buffer space available"),
    ],
)
def test_other_limits_are_named(
    number: int, told: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    file = tmp_path / "file-max"
    file.write_text("1234\n")
    monkeypatch.setattr(module, "_FILE_MAX", str(file))
    Shortage().met(failed(number))
    assert told in caplog.text


def test_a_limit_that_cannot_be_read_is_named_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FILE_MAX", "/nowhere")
    Shortage().met(failed(errno.ENFILE))
    assert "that it may have (fs.file-max)" in caplog.text
