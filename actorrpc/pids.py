"""Processes by their numbers."""

from __future__ import annotations

import os

__all__ = ["exists"]


def exists(pid: int) -> bool:
    """Whether there is a process with that pid, also where /proc does not show it (proc(5), hidepid)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
