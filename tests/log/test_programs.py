"""The log of a program: what it ends with, and what nobody has caught in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.broker.servers import PATIENCE, ROOT, environment

PROGRAM = """
import logging, sys
from gevent import monkey
monkey.patch_all()
import os, threading, warnings
import gevent
from actorrpc.log import log_to_stderr, log_uncaught
log_to_stderr("program")
log = logging.getLogger("actorrpc.hub")
log_uncaught(log)
"""


def run(source: str) -> subprocess.CompletedProcess[str]:
    env = {**environment(), "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-c", PROGRAM + source]
    return subprocess.run(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)


def test_what_was_logged_last_is_written() -> None:
    done = run("""
from actorrpc.log import about
for number in range(200):
    log.error("line %d", number, extra=about(number))
for number in range(20):
    log.error("last %d", number)
""")
    lines = [line.partition("program: ")[2] for line in done.stderr.splitlines()]
    written = [f"line {number}" for number in range(200)] + [f"last {number}" for number in range(5)]
    assert lines == [*written, "and 15 more in the last 1 s like: last 4"]


ENDS = {
    "exit": "sys.exit(3)",
    "error": "raise ValueError('why')",
    "child": "pid = os.fork()\nif pid: os.waitpid(pid, 0)\nelse: log.error('of the child')",
}


@pytest.mark.parametrize("end", ENDS)
def test_each_line_is_written_once_however_the_program_ends(end: str) -> None:
    done = run(f"log.error('%s', 'of the parent')\n{ENDS[end]}")
    assert done.stderr.count("of the parent") == 1
    assert done.stderr.count("of the child") == (end == "child")
    assert done.returncode == {"exit": 3, "error": 1, "child": 0}[end]


UNCAUGHT = {
    "program": ("raise Said(TEXT)", "CRITICAL program: this process ends: nobody has caught its error"),
    "greenlet": ("gevent.spawn(fail, TEXT).join()", "ERROR program: <Greenlet at "),
    "callback": ("gevent.get_hub().loop.run_callback(fail, TEXT)\ngevent.sleep(0)", "ERROR program: "),
    "thread": ("t = threading.Thread(target=fail, args=(TEXT,))\nt.start(); t.join()", "ERROR program: "),
    "native thread": ("gevent.get_hub().threadpool.apply(threaded)", "ERROR program: <Greenlet at "),
    "finalizer": ("class D:\n def __del__(self): fail(TEXT)\nD()", "ERROR program: Exception ignored in"),
    "warning": ("warnings.warn(TEXT)", "WARNING program: <string>:"),
}


@pytest.mark.parametrize("what", UNCAUGHT)
def test_what_nobody_catches_forges_no_line(what: str) -> None:
    source, words = UNCAUGHT[what]
    done = run(f"""
TEXT = "a\\n2026-01-01 00:00:00,000 ERROR program: forged\\x1b[2J"
class Said(Exception): pass
def fail(text): raise Said(text)
def threaded(): gevent.spawn(fail, TEXT).join()
{source}
""")
    first, *others = done.stderr.splitlines()
    assert words in first, done.stderr
    assert all(line.startswith("    ") for line in others), done.stderr
    assert "forged\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr


def test_without_a_standard_error_nothing_is_written_elsewhere() -> None:
    """The descriptor 2 is then the next file's that is opened."""
    program = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    source = """
import select, socket
one, other = socket.socketpair()
log.error("a line")
logging.shutdown()
print(one.fileno(), select.select([other], [], [], 0)[0])
"""
    command = [sys.executable, "-c", program, PROGRAM + source]
    done = subprocess.run(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, timeout=PATIENCE)
    assert done.returncode == 0
    assert done.stdout == b"2 []\n"
