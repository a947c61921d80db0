"""How the stacks of a hub are shown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from actorrpc.cli.tables import cell

__all__ = ["print_stacks"]

#: With so many connections named there may be more.
_SOME = 10


def print_stacks(found: dict[str, Any]) -> None:
    """Print what ``actorrpc stacks --json`` has: of each stack a line that says how many do that and for
    whom, then its places, as in a traceback."""
    rows = found["stacks"]
    print(f"hub {found['hub']} (pid {found['pid']}): {_counted(rows) if found['answers'] else 'no answer'}")
    for row in rows:
        print(f"\n{_many(row['count'], row['kind'])}{_for_whom(row)}")
        for frame in row["frames"]:
            print(f"    {cell(frame['file'])}:{frame['line']}, in {cell(frame['function'])}")


def _counted(rows: list[dict[str, Any]]) -> str:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["kind"]] += row["count"]
    return ", ".join(_many(counts[kind], kind) for kind in ("greenlet", "thread"))


def _many(count: int, kind: str) -> str:
    return f"{count} {kind}{'s' * (count != 1)}"


def _for_whom(row: dict[str, Any]) -> str:
    if not row["runs"]:
        return ""
    connections = row["connections"]
    others = " and others" if len(connections) == _SOME else ""
    on = f", on {', '.join(map(cell, connections))}{others}" if connections else ""
    return f" in {cell(row['runs'])}{on}"
