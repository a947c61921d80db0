"""Keeps the memory of this process from being written to a disk, and from other processes of its user."""

from __future__ import annotations

import ctypes

from actorrpc.errors import ConfigError

__all__ = ["no_core_dumps"]

_PR_SET_DUMPABLE = 4


def no_core_dumps() -> None:
    """Have no core dump of this process written from now on, nor given to a program, and nobody but root
    trace it or read its memory (PR_SET_DUMPABLE, prctl(2)).

    A forked child is the same; in a program that is executed it is undone. What has been opened of this
    process's /proc before stays open. It does not end: what was in memory by then may still be there.

    Raises ConfigError where that cannot be.
    """
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is None or prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise ConfigError("core dumps cannot be turned off on this system (PR_SET_DUMPABLE)")
