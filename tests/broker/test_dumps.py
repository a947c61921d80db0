"""The stack of a process that cannot answer: how it is had, and what is made of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from actorrpc.broker.watching.dumps import Dumps, NoStack, Place, parse
from actorrpc.broker.watching.holders import held_by
from tests.support.processes import ROOT, environment
from tests.support.waiting import PATIENCE, until

#: A process that is held by a call of C's as its first argument says, and tells its signal and when it is.
PROGRAM = """
import os, signal, sys, time
from actorrpc.hub.watching.dumps import dump_on_signal
signal.signal(signal.SIGRTMAX - 1, lambda *_: None)
signum, reader = dump_on_signal()
os.dup2(reader, 3)
def held():
    print(signum, flush=True)
    exec(sys.argv[1])
held()
"""


class Held:
    def __init__(self, how: str) -> None:
        # The pipe is the program's: it is taken out of it as it would be sent.
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, how],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.signum = int(self.process.stdout.readline())
        pipe = os.open(f"/proc/{self.process.pid}/fd/3", os.O_RDONLY)
        self.dumps = Dumps(self.process.pid, self.signum, pipe, self.process.send_signal)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.dumps.close()


@pytest.fixture
def hold() -> Iterator[type[Held]]:
    made: list[Held] = []

    class Kept(Held):
        def __init__(self, how: str) -> None:
            super().__init__(how)
            made.append(self)

    yield Kept
    for held in made:
        held.close()


@pytest.mark.parametrize("how", ["time.sleep(1000)", "sum(range(10**13))"])
def test_where_a_process_is_held(hold: type[Held], how: str) -> None:
    held = hold(how)
    for _ in range(3):  # once it has come there
        until(lambda: [each.function for each in held.dumps.take()] == ["<module>", "held", "<module>"])
    assert held.process.poll() is None


def test_the_signal_is_one_that_the_program_does_not_use(hold: type[Held]) -> None:
    assert hold("time.sleep(1000)").signum == signal.SIGRTMAX - 2


def test_a_deep_stack_is_bounded(hold: type[Held]) -> None:
    source = "f = lambda n: f(n - 1) if n else time.sleep(1000)\nsys.setrecursionlimit(9000)\nf(5000)"
    held = hold(f"global f; {source}")
    until(lambda: [each.function for each in held.dumps.take()] == ["<lambda>"] * 100)


def test_a_stopped_process_is_left_alone(hold: type[Held]) -> None:
    held = hold("time.sleep(1000)")
    held.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, held.process.pid, os.WSTOPPED | os.WNOWAIT)
    with pytest.raises(NoStack, match="it is stopped"):
        held.dumps.take()
    held.process.send_signal(signal.SIGCONT)
    assert held.dumps.take()


def test_a_process_that_has_no_handler_any_more_is_not_ended_by_the_signal(hold: type[Held]) -> None:
    held = hold("signal.signal(signal.SIGRTMAX - 2, signal.SIG_DFL); print('', flush=True); time.sleep(1000)")
    assert held.process.stdout is not None
    held.process.stdout.readline()
    with pytest.raises(NoStack, match="no handler"):
        held.dumps.take()
    assert held.process.poll() is None


def test_a_process_that_blocks_the_signal_writes_nothing(hold: type[Held]) -> None:
    held = hold(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMAX - 2]); print('', flush=True); "
        "time.sleep(1000)"
    )
    assert held.process.stdout is not None
    held.process.stdout.readline()
    with pytest.raises(NoStack, match="does not write"):
        held.dumps.take()


def test_a_process_that_has_ended(hold: type[Held]) -> None:
    held = hold("pass")
    held.process.wait(PATIENCE)
    with pytest.raises(NoStack, match="ended"):
        held.dumps.take()


def test_what_faulthandler_writes_is_read() -> None:
    long = "x" * 500
    text = f"""Stack (most recent call first):
  File "/app/server.py", line 12 in Nap
  File "/app/{long}..., line 7 in run
  File "/app/odd "name", line ???.py", line ??? in <lambda>
  ...
  File "/tr
"""
    assert parse(text) == [
        Place('/app/odd "name", line ???.py', 0, "<lambda>"),
        Place(f"/app/{long}...", 7, "run"),
        Place("/app/server.py", 12, "Nap"),
    ]
    assert parse("") == parse("nonsense\n") == []


OURS = Place(str(ROOT / "actorrpc" / "hub.py"), 1, "run")
NAP, LIBRARY = Place(str(ROOT / "server.py"), 12, "Nap"), Place("/lib/slow.py", 3, "wait")
HELD = "its loop is held by Nap (server.py, line 12)"


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ([OURS, NAP], HELD),
        ([OURS, NAP, LIBRARY], f"{HELD}, in wait (/lib/slow.py, line 3)"),
        ([OURS, NAP, OURS], f"{HELD}, in run (actorrpc/hub.py, line 1)"),
        ([LIBRARY], "its loop is held by wait (/lib/slow.py, line 3)"),
        ([OURS], "its loop is held, and no code of the app's is on its stack"),
    ],
)
def test_whose_code_it_is(places: list[Place], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert held_by(places) == said
