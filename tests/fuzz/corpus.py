"""What real clients sent, byte for byte: the files of ``corpus/``, which ``tests.fuzz.record`` writes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["FOLDER", "recordings"]

FOLDER = Path(__file__).with_name("corpus")


@cache
def recordings() -> tuple[bytes, ...]:
    """The bytes of each connection, in the order of the files' names."""
    return tuple(path.read_bytes() for path in sorted(FOLDER.glob("*.bin")))
