"""The bodies of the storm's messages."""

from __future__ import annotations

__all__ = ["body"]


def body(number: int, size: int) -> bytes:
    """The body of a message: ``size`` bytes, which only this number has."""
    return bytes([number % 251]) * size
