"""A process as the operating system has it, by its pidfd, which is no other process's whatever becomes of
the pid."""

from __future__ import annotations

import select
import signal
import subprocess
from contextlib import suppress
from typing import Protocol

from actorrpc.broker.host.pidfds import open_pidfd
from actorrpc.loop.descriptors import close_now

__all__ = ["UNKNOWN_STATUS", "Child", "Inherited", "OsProcess"]

#: The exit status of a process that is no child of this one, which is told to its parent alone.
UNKNOWN_STATUS = 256


class OsProcess(Protocol):
    pid: int
    #: Readable when it has ended; -1 once it is closed.
    pidfd: int

    def poll(self) -> int | None:
        """Its exit status, as subprocess has it; None while it runs."""

    def send_signal(self, signum: int) -> None:
        """Does nothing if it has ended."""

    def close(self) -> None:
        """It has ended."""


class _ByPidfd:
    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if there is none with that pid, and OSError."""
        self.pid = pid
        self.pidfd = open_pidfd(pid)

    def send_signal(self, signum: int) -> None:
        if self.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signum)

    def close(self) -> None:
        if self.pidfd >= 0:
            close_now(self.pidfd)
            self.pidfd = -1


class Child(_ByPidfd):
    """One that this process has started."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        super().__init__(popen.pid)
        self._popen = popen

    def poll(self) -> int | None:
        # None where gevent has patched subprocess and reaps, but has not yet: then ask again.
        return self._popen.poll()


class Inherited(_ByPidfd):
    """One that a broker before this one has started."""

    def poll(self) -> int | None:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return UNKNOWN_STATUS if poll.poll(0) else None
