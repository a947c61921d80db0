"""The demo's screen: what happens scrolls by, and on a terminal the hubs stand below it.

Without a terminal (a log of CI, say) the hubs are a line of text now and then.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from examples.chat.terminal import Paint

__all__ = ["HubRow", "Screen"]

#: Seconds between two lines about the hubs where there is no terminal.
INTERVAL = 1.0
BAR, PLAIN_BAR = 24, 10
GREEN, YELLOW, RED = "32", "33", "31"
#: Shares of the hubs' work from which a bar is yellow, and red, when there are two hubs.
WARM, HOT = 0.6, 0.75
#: A narrower terminal gets what a log gets.
MIN_COLUMNS = 60


@dataclass(frozen=True)
class HubRow:
    """A hub: ``cpu`` is how much of a core it takes, ``share`` its share of what all hubs do.

    ``nicks`` are the clients on it, the busiest first.
    """

    id: int
    cpu: float
    share: float
    nicks: Sequence[str]


class Screen:
    """Writes to ``stream``. What stands below is drawn again at each ``show``, below what ``tell`` wrote."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and _columns() >= MIN_COLUMNS
        self._paint = Paint(stream)
        self._began = time.monotonic()
        #: What stands below, and how many lines of it are on the screen.
        self._panel: list[str] = []
        self._drawn = 0
        self._last_shown = -INTERVAL
        self._full, self._empty = ("█", "░") if _can_encode(stream, "█░") else ("#", ".")

    def title(self, text: str) -> None:
        self._write([self._paint.bold(text), ""])

    def tell(self, text: str) -> None:
        """Say what happens, with the time since the demo began."""
        self._write([f"{self._clock()}  {text}"])

    def show(self, hubs: Sequence[HubRow], footer: str) -> None:
        """Show how the work is shared, how busy each hub is, and whom it serves."""
        if self._live:
            self._panel = ["", *map(self._hub_line, hubs), self._paint.dim(f"       {footer}")]
            self._write([])
        elif time.monotonic() - self._last_shown >= INTERVAL:
            self._last_shown = time.monotonic()
            self._write([f"{self._clock()}  {'   '.join(map(self._short, hubs))}   {footer}"])

    def verdict(self, text: str, good: bool) -> None:
        """Say how it ended; the hubs stay where they were."""
        self._panel, panel = [], self._panel
        self._write([*panel, "", self._paint.bold(self._paint(text, GREEN if good else RED))])

    def _write(self, lines: Sequence[str]) -> None:
        """Write lines where the panel begins, and the panel after them."""
        if self._live:
            lines = [f"{line}\x1b[K" for line in (*lines, *self._panel)]
            if self._drawn:
                self._stream.write(f"\x1b[{self._drawn}A\r\x1b[J")
            self._drawn = len(self._panel)
        self._stream.writelines(f"{line}\n" for line in lines)
        self._stream.flush()

    def _hub_line(self, hub: HubRow) -> str:
        colour = RED if hub.share >= HOT else YELLOW if hub.share >= WARM else GREEN
        head = f"hub {hub.id}  {self._bar(hub.share, BAR)}  CPU {hub.cpu:4.0%}  {len(hub.nicks):2}  "
        nicks = " ".join(hub.nicks)
        room = _columns() - len(head) - 1
        return self._paint(head, colour) + (nicks if len(nicks) <= room else f"{nicks[: room - 1]}…")

    def _short(self, hub: HubRow) -> str:
        return f"hub {hub.id} {self._bar(hub.share, PLAIN_BAR)} {hub.cpu:4.0%} {len(hub.nicks):2} conn."

    def _bar(self, share: float, width: int) -> str:
        full = min(round(share * width), width)
        return self._full * full + self._empty * (width - full)

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:5.1f} s"


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _can_encode(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
