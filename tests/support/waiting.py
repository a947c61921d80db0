"""Waiting for what must come about: by looking again and again, and no longer than nothing takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "until"]

#: Nothing waits for so long unless it waits in vain: a busy machine starts a server in half of it.
PATIENCE = 60.0

Found = TypeVar("Found")


def until(
    look: Callable[[], Found],
    *,
    sleep: Callable[[float], object] = time.sleep,
    patience: float = PATIENCE,
    told: Callable[[], str] = str,
) -> Found:
    """Look until something true is found, and return it.

    Between two looks the machine is left to those who work on it; ``sleep`` is ``gevent.sleep`` where they
    do so in the same loop. ``told`` is what the AssertionError says beside that nothing was found.
    """
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain. {told()}"
        sleep(0.01)
    return found
