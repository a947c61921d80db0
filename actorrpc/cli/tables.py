"""How rows are shown as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["cell", "print_table", "shown"]

#: A cell of a table is no wider.
_WIDEST = 200


def print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print the columns' names, and a line for each row."""
    lines = [columns, *([cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Any) -> str:
    """A value as one short text that a terminal shows as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(value)
    text = "-" if value is None else str(value)
    return shown(text)[:_WIDEST]


def shown(text: str) -> str:
    """A text of which some was chosen by clients: it shall not steer the terminal, nor look like another
    row."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
