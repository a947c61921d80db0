"""How many lines there are for what."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LEAST", "Layout", "lay_out"]

#: Columns and lines of the smallest terminal in which anything is shown.
LEAST = 72, 14
#: Lines that are no table's: two at the top, two at the bottom.
_AROUND = 4
#: Each table has a line of names.
_NAMES = 1
#: The hubs have this share of both tables' lines at most.
_SHARE = 0.4


@dataclass(frozen=True)
class Layout:
    """Lines of hubs and of rows, without those with names; 0: the table is not shown."""

    hubs: int
    rows: int


def lay_out(height: int, hubs: int, part: str) -> Layout:
    """Divide the lines of a terminal for so many hubs. ``part`` as in ``model.PARTS``."""
    free = height - _AROUND
    if part == "hubs":
        return Layout(free - _NAMES, 0)
    if part == "rows":
        return Layout(0, free - _NAMES)
    free -= 2 * _NAMES + 1  # and a line between them
    shown = min(hubs, max(int(free * _SHARE), 1))
    return Layout(shown, free - shown)
