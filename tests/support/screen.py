"""A program in a terminal: under a real pseudo-terminal, with what it would show to a person."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pyte

from tests.support.processes import ROOT, environment
from tests.support.waiting import PATIENCE

__all__ = ["Screen"]

#: What an xterm knows: the other screen, and whether there is a cursor.
_OTHER_SCREEN = 1049


#: Makes standard input the session's terminal, and then runs a command. Where tests run under nohup(1),
#: it is not to ignore SIGHUP as they do.
_TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class _Screen(pyte.Screen):
    """Also knows which screen is shown."""

    def __init__(self, columns: int, lines: int) -> None:
        self.other = False
        super().__init__(columns, lines)

    def set_mode(self, *modes: int, **named: Any) -> None:
        self.other |= bool(named.get("private")) and _OTHER_SCREEN in modes
        super().set_mode(*modes, **named)

    def reset_mode(self, *modes: int, **named: Any) -> None:
        self.other &= not (named.get("private") and _OTHER_SCREEN in modes)
        super().reset_mode(*modes, **named)


class Screen:
    """Runs a program, as the leader of a session whose terminal this is."""

    def __init__(
        self,
        command: Sequence[str],
        columns: int = 80,
        lines: int = 24,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._screen = _Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        #: Bytes that the program has written.
        self.written = 0
        self._fd, terminal = pty.openpty()
        self.resize(columns, lines)
        # Not by pty.fork(): a test's process has threads.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            cwd=ROOT,
            env={**environment(), "TERM": "xterm", **(variables or {})},
        )
        os.close(terminal)

    @property
    def pid(self) -> int:
        return self._process.pid

    # ---- what it shows

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def is_other(self) -> bool:
        """Whether the other screen is shown, which programs have that fill it."""
        return self._screen.other

    @property
    def shows_cursor(self) -> bool:
        return not self._screen.cursor.hidden

    @property
    def line_mode(self) -> bool:
        """Whether the terminal is as a shell has it: whole lines, and an echo."""
        wanted = termios.ICANON | termios.ECHO | termios.ISIG
        return bool(termios.tcgetattr(self._fd)[3] & wanted == wanted)

    def read(self, seconds: float = 0.05) -> bool:
        """Take in what has been written, waiting for it so long. Returns False at its end."""
        if self._has_more(seconds):
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return False
            self.written += len(data)
            self._stream.feed(data)
        return True

    def _has_more(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def until(self, *texts: str, absent: str = "") -> str:
        """Wait until all of these are on the screen, and nothing ``absent``. Returns the screen."""
        return self.wait_for(
            lambda: all(text in self.text for text in texts) and not (absent and absent in self.text),
            f"{texts}, without {absent!r}",
        )

    def wait_for(self, condition: Any, what: str = "") -> str:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            alive = self.read()
            assert alive or condition(), f"it has ended, and does not show {what}:\n{self.text}"
            assert time.monotonic() < deadline, f"it does not show {what}:\n{self.text}"
        return self.text

    def line_with(self, text: str) -> str:
        """The first line that has a text in it."""
        return next(line for line in self.lines if text in line)

    # ---- what is done to it

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def end(self) -> int:
        """Read until it has ended. Returns its status, or minus the signal."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            self.read()
            assert time.monotonic() < deadline, f"it does not end:\n{self.text}"
        while self._has_more(0) and self.read(0):
            pass
        return self._process.returncode

    def end_unread(self) -> int:
        """Wait until it has ended, and read nothing meanwhile."""
        return self._process.wait(PATIENCE)

    def hang_up(self) -> None:
        """The terminal goes."""
        os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._fd >= 0:
            os.close(self._fd)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Screen of process {self.pid}: {self.lines[:1]}>"
