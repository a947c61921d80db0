"""The terminal: colours, text from strangers, and printing while somebody types."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from threading import Lock
from typing import TextIO
from zlib import crc32

try:
    import readline
except ImportError:  # an interpreter without it: a half-typed line is then not shown again
    readline = None  # type: ignore[assignment]

__all__ = ["Paint", "Terminal", "printable"]

BOLD, DIM = "1", "2"
#: Readable on dark and on light ground.
_NICKS = ("31", "32", "33", "34", "35", "36", "91", "92", "94", "95", "96")


def printable(text: str) -> str:
    """Text that a terminal only shows: without escape sequences, line ends, or changes of direction."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


class Paint:
    """Colours, for a stream that takes them. ``NO_COLOR`` in the environment turns them off."""

    def __init__(self, stream: TextIO) -> None:
        self.enabled = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled else text

    def bold(self, text: str) -> str:
        return self(text, BOLD)

    def dim(self, text: str) -> str:
        return self(text, DIM)

    def nick(self, nick: str) -> str:
        """Each nick has its colour, the same everywhere."""
        return self(nick, _NICKS[crc32(nick.encode()) % len(_NICKS)])


class Terminal:
    """Reads lines from standard input, and prints above the line that is being typed.

    Without a terminal on both sides it only reads and prints: nothing is asked or erased.
    """

    def __init__(self, prompt: str = "> ") -> None:
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self.paint = Paint(sys.stdout)
        self._prompt = prompt
        self._typing = False
        self._lock = Lock()

    def print(self, text: str) -> None:
        """Print one line, from any thread."""
        with self._lock:
            if self._typing:
                typed = readline.get_line_buffer() if readline else ""
                sys.stdout.write(f"\r\x1b[K{text}\n{self._prompt}{typed}")
            else:
                sys.stdout.write(f"{text}\n")
            sys.stdout.flush()

    def lines(self) -> Iterator[str]:
        """Yield what is typed, until the end of the input. It is erased, since it comes back as said."""
        if not self.interactive:
            yield from (line.rstrip("\n") for line in sys.stdin)
            return
        while True:
            self._typing = True
            try:
                line = input(self._prompt)
            except EOFError:
                self.print("")
                return
            finally:
                self._typing = False
            self._erase(line)
            yield line

    def _erase(self, line: str) -> None:
        rows = (len(self._prompt) + len(line)) // shutil.get_terminal_size().columns + 1
        with self._lock:
            sys.stdout.write("\x1b[A\x1b[2K" * rows + "\r")
            sys.stdout.flush()
