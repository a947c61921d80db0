"""The terminal: its modes, its size, what is written to it, and that it is left as it was found.

It is opened anew, so that it can be read and written without blocking, whatever others do with theirs: where
the other end takes nothing, nothing waits for that but the next picture.
"""

from __future__ import annotations

import os
import select
import termios
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from actorrpc.errors import ConfigError
from actorrpc.loop.descriptors import close_now

__all__ = ["Gone", "Terminal"]

#: The other screen; no cursor; what is pasted is told from what is typed. And back.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J"
_LEAVE = "\x1b[?2004l\x1b[0m\x1b[?25h\x1b[?1049l"
#: How long what is still to be written may take when the terminal is left, in seconds.
_LAST = 1.0
#: Where nobody knows the size.
_USUAL = 80, 24


class Gone(Exception):
    """The terminal has gone."""


class Terminal:
    """``file`` is a descriptor of it. Raises ConfigError if it cannot be used."""

    def __init__(self, file: int, encoding: str = "utf-8") -> None:
        self._encoding = encoding
        try:
            self.fd = os.open(os.ttyname(file), os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"top cannot open its terminal: {error.strerror}") from error
        self._before: list[Any] | None = None
        #: What it shows, and what has not been written yet.
        self._shown: list[str] = []
        self._unwritten = b""

    # ---- its modes

    def enter(self) -> None:
        """Take it, perhaps again: keys come one by one, and unseen. Signals come as ever."""
        mode = termios.tcgetattr(self.fd)
        if self._before is None:
            self._before = termios.tcgetattr(self.fd)
        mode[0] &= ~termios.IXON
        mode[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSANOW, mode)
        self._unwritten = _ENTER.encode()
        self._shown = []
        self.flush()

    def leave(self) -> None:
        """Leave it as it was found. May be called again. Never raises."""
        before, self._before = self._before, None
        if before is None:
            return
        # A picture that is half written ends; of one that waits for a slow line, nothing else is of use.
        self._unwritten += _LEAVE.encode()
        until = time.monotonic() + _LAST
        with suppress(Gone, OSError):
            while self._unwritten and (left := until - time.monotonic()) > 0:
                select.select([], [self.fd], [], left)
                self.flush()
        with suppress(OSError, termios.error):
            termios.tcflush(self.fd, termios.TCIFLUSH)  # what was typed here is not meant for the shell
            termios.tcsetattr(self.fd, termios.TCSANOW, before)

    def __enter__(self) -> Terminal:
        self.enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        close_now(self.fd)

    # ---- reading and writing

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self.fd)
        except OSError:
            return _USUAL
        return columns or _USUAL[0], lines or _USUAL[1]

    @property
    def busy(self) -> bool:
        """Whether the last picture has not been written yet."""
        return bool(self._unwritten)

    def read(self) -> bytes:
        """What has been typed; b"" if nothing has. Raises Gone."""
        try:
            data = os.read(self.fd, 4096)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        return data

    def show(self, lines: Sequence[str], *, anew: bool = False) -> int:
        """Write the lines that are not shown yet; ``anew``: all. Returns how many bytes that takes."""
        if anew:
            self._shown = []
        parts = ["\x1b[2J"] if not self._shown else []
        for at, line in enumerate(lines):
            if at >= len(self._shown) or self._shown[at] != line:
                parts.append(f"\x1b[{at + 1};1H\x1b[0m\x1b[2K{line}")
        self._shown = list(lines)
        written = "".join(parts).encode(self._encoding, "replace")
        self._unwritten += written
        self.flush()
        return len(written)

    def flush(self) -> None:
        """Write as much as it takes now. Raises Gone."""
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self.fd, self._unwritten) :]
        except BlockingIOError:
            pass
        except OSError as error:
            raise Gone from error

    def __repr__(self) -> str:
        return f"<Terminal {self.size}, {len(self._unwritten)} bytes unwritten>"
