"""Who is known to live: with real processes, which are killed, stopped and forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from actorrpc.hub.directory.journal import Journal
from actorrpc.ipc.directory_files import JOURNAL
from tests.support.processes import ROOT

START = """
import gevent.monkey; gevent.monkey.patch_all()
import ctypes, os, sys, time
from gevent import get_hub
from actorrpc.forks import guard
from actorrpc.hub.directory.journal import Journal

class Hub:
    def forked(self): pass

hub, journal = Hub(), Journal(sys.argv[1], 1001)
guard(hub, get_hub())
"""
#: Says its pid and that of its child, and waits; so does the child, if it has one.
PLAIN = START + "print(os.getpid(), flush=True); time.sleep(600)"
FORKS = START + "child = os.fork()\nif child: print(child, flush=True)\ntime.sleep(600)"
IN_C = START + "child = ctypes.CDLL(None).fork()\nif child: print(child, flush=True)\ntime.sleep(600)"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    (tmp_path / JOURNAL).touch()
    journal = Journal(str(tmp_path), 1000)
    yield journal
    journal.close()


@contextmanager
def process(path: Path, program: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process, and the pid that it says."""
    with ExitStack() as stack:
        command = [sys.executable, "-c", program, str(path)]
        popen = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        stack.callback(popen.kill)
        assert popen.stdout is not None
        pid = int(popen.stdout.readline())
        if pid != popen.pid:
            stack.callback(os.kill, pid, signal.SIGKILL)
        yield popen, pid


def test_who_is_killed_is_dead(journal: Journal, tmp_path: Path) -> None:
    assert not journal.lives(1001)
    with process(tmp_path, PLAIN) as (popen, _):
        assert journal.lives(1001)
        popen.kill()
        popen.wait()
        assert not journal.lives(1001)


def test_who_is_stopped_lives(journal: Journal, tmp_path: Path) -> None:
    with process(tmp_path, PLAIN) as (popen, _):
        popen.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, popen.pid, os.WSTOPPED | os.WNOWAIT)
        assert journal.lives(1001)


@pytest.mark.parametrize("program", [FORKS, IN_C], ids=["by Python", "by C"])
def test_a_child_that_lives_on_does_not_keep_the_lock(journal: Journal, tmp_path: Path, program: str) -> None:
    with process(tmp_path, program) as (popen, child):
        assert journal.lives(1001)
        popen.kill()
        popen.wait()
        assert not journal.lives(1001)
        os.kill(child, 0)


def test_a_child_that_ends_does_not_take_the_lock_along(journal: Journal, tmp_path: Path) -> None:
    program = (
        START + "pid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)\nprint(os.getpid(), flush=True)"
    )
    with process(tmp_path, program + "\ntime.sleep(600)"):
        assert journal.lives(1001)


def test_files_that_something_has_tidied_up_are_nobodys_death(journal: Journal, tmp_path: Path) -> None:
    with process(tmp_path, PLAIN):
        (tmp_path / JOURNAL).unlink()
        assert journal.lives(1001)


def test_a_number_is_no_second_process_s(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError):
        Journal(str(tmp_path), 1000)
    assert journal.lives(1000)


def test_it_is_not_made_anew(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Journal(str(tmp_path), 1000)
