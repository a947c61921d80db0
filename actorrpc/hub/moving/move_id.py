"""How an attempt to move a connection is called in the logs of its two hubs."""

from __future__ import annotations

import os

__all__ = ["first_number", "move_id"]


def first_number() -> int:
    """The number of a process's first attempt, with so much chance in it that no two processes have attempts
    with the same number."""
    return (int.from_bytes(os.urandom(5), "big") << 20) + 1


def move_id(number: int) -> str:
    """The attempt of this number, which source and target both know."""
    return f"{number:015x}"
