"""New hubs have a low priority until they are ready, where that can be undone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import gevent
import pytest

from actorrpc.broker.processes import low_priority
from actorrpc.broker.processes.low_priority import LOWER, LowPriority, may_raise_again
from tests.support.processes import ROOT
from tests.support.waiting import until

USUAL = os.getpriority(os.PRIO_PROCESS, 0)
able = pytest.mark.skipif(
    USUAL + LOWER > 19 or not may_raise_again(), reason="who runs the tests may not raise a priority again"
)

#: One thread more, that has the priority of the one that began it.
PROGRAM = """
import sys, threading
sys.stdin.readline()
threading.Thread(target=sys.stdin.read).start()
print("began", flush=True)
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def priorities(pid: int) -> list[int]:
    return [os.getpriority(os.PRIO_PROCESS, int(tid)) for tid in os.listdir(f"/proc/{pid}/task")]


def begin_a_thread(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("begin\n")
    process.stdin.flush()
    assert process.stdout.readline() == "began\n"


@able
def test_all_threads_get_their_priority_back(process: subprocess.Popen[str]) -> None:
    low = LowPriority(process.pid)
    begin_a_thread(process)
    assert priorities(process.pid) == [USUAL + LOWER] * 2
    low.end()
    assert priorities(process.pid) == [USUAL] * 2
    os.setpriority(os.PRIO_PROCESS, process.pid, USUAL + 1)
    low.end()  # that was not its doing
    assert sorted(priorities(process.pid)) == [USUAL, USUAL + 1]


@able
def test_where_its_threads_are_not_shown_the_first_gets_it_back(
    process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    low = LowPriority(process.pid)

    def hidden(path: str) -> list[str]:
        raise FileNotFoundError(path)

    monkeypatch.setattr(low_priority.os, "listdir", hidden)
    low.end()
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == USUAL


@able
def test_it_is_not_low_for_ever(process: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(low_priority, "LONGEST", 0.01)
    LowPriority(process.pid)
    assert priorities(process.pid) == [USUAL + LOWER]
    until(lambda: priorities(process.pid) == [USUAL], sleep=gevent.sleep)


@able
def test_a_process_that_has_ended_has_none(process: subprocess.Popen[str]) -> None:
    low = LowPriority(process.pid)
    process.kill()
    process.wait()
    low.end()
    closed = LowPriority(os.getpid())
    try:
        closed.close()
        assert os.getpriority(os.PRIO_PROCESS, 0) == USUAL + LOWER
        closed.end()
        assert os.getpriority(os.PRIO_PROCESS, 0) == USUAL + LOWER
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, USUAL)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize(("limit", "found"), [(0, [0, 0]), (19, [0, 0]), (20, [10, 0])])
def test_who_could_not_undo_it_does_not_do_it(limit: int, found: list[int]) -> None:
    """Somebody without privileges, with a nice value of 0: with a limit of 19 he could go back to 1."""
    script = f"""
import os, resource, subprocess, sys
from actorrpc.broker.processes.low_priority import LowPriority
os.setpriority(os.PRIO_PROCESS, 0, 0)
try:
    resource.setrlimit(resource.RLIMIT_NICE, ({limit}, {limit}))
except ValueError:
    sys.exit(3)
os.setresuid(65534, 65534, 65534)
with subprocess.Popen(["sleep", "60"]) as process:
    low = LowPriority(process.pid)
    print(os.getpriority(os.PRIO_PROCESS, process.pid))
    low.end()
    print(os.getpriority(os.PRIO_PROCESS, process.pid))
    process.kill()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if done.returncode == 3:
        pytest.skip("this root may not raise limits")
    assert (done.stdout.split(), done.stderr) == ([str(each) for each in found], "")
