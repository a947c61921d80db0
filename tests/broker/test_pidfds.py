"""Descriptors of processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from actorrpc.broker.host.pidfds import open_pidfd


def test_a_process_has_one() -> None:
    os.close(open_pidfd(os.getpid()))


def test_the_number_of_a_thread_is_no_process() -> None:
    """The pid of a hub that has died may be that of a thread by now."""
    program = """
        import os, threading, time
        thread = threading.Thread(target=input)
        thread.start()
        print(thread.native_id, flush=True)
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        number = int(process.stdout.readline())
        assert number != process.pid
        with pytest.raises(ProcessLookupError):
            open_pidfd(number)
        process.communicate(b"\n")


def test_nobody_has_none() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    with pytest.raises(ProcessLookupError):
        open_pidfd(process.pid)
