"""How processes end whose connections others are given: for a reload, fewer hubs, a signal to one hub."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import gevent

from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.deploying.left_behind import LeftBehind
from actorrpc.broker.processes.hub_process import HubProcess

__all__ = ["LOOK", "end", "wait_until_empty", "wait_until_taken"]

log = logging.getLogger("actorrpc.broker")

#: Between two looks at how far they are.
LOOK = 0.05
#: How long a hub that can be heard takes to say who is still there.
WORDS = 1.0
#: How much longer than the drain timeout a hub may take to end before it is killed.
GRACE = 4.0


def wait_until_empty(drains: Drains, processes: Sequence[HubProcess], deadline: float) -> None:
    """Wait until drained processes have given everything away, but no longer than until ``deadline``, on the
    monotonic clock."""
    while time.monotonic() < deadline and not all(map(drains.empty, processes)):
        gevent.sleep(LOOK)


def wait_until_taken(
    drains: Drains, processes: Sequence[HubProcess], seconds: float, patience: float = float("inf")
) -> bool:
    """The same, for so many seconds in which there is somebody who can take what they have: as long as nobody
    is, they are not to end. One that is no more among the ``processes`` is waited for no longer.

    Returns False if nobody has been there for longer than ``patience`` seconds.
    """
    before = time.monotonic()
    while any(process.exit_code is None for process in processes):
        now = time.monotonic()
        if not drains.hold:
            seconds -= now - before
            if seconds <= 0 or all(map(drains.empty, processes)):
                return True
        elif drains.held_for > patience:
            return False
        before = now
        gevent.sleep(LOOK)
    return True


def end(what: str, processes: Sequence[HubProcess], drain_timeout: float) -> LeftBehind:
    """End drained processes: GOAWAY to whoever is left, and ``drain_timeout`` seconds for their open calls.
    Waits until they have gone; those that do not go are killed. ``what``, for the log: why they end.

    Returns who was left.
    """
    living = [process for process in processes if process.exit_code is None]
    for process in processes:
        process.stop(drain_timeout)
    deadline = time.monotonic() + drain_timeout + GRACE
    _wait_for_last_words(living)
    left = LeftBehind.of(living)
    if left.count:
        are = "connection could not move and is" if left.count == 1 else "connections could not move and are"
        log.warning("%s: %d %s ended: %s", what, left.count, are, left)
    _wait_for_exits(what, processes, deadline)
    return left


def _wait_for_last_words(processes: Sequence[HubProcess]) -> None:
    deadline = time.monotonic() + WORDS
    while time.monotonic() < deadline and not all(
        process.last_words is not None or process.exit_code is not None for process in processes
    ):
        gevent.sleep(LOOK)


def _wait_for_exits(what: str, processes: Sequence[HubProcess], deadline: float) -> None:
    while any(process.exit_code is None for process in processes):
        if time.monotonic() > deadline:
            log.warning("%s: killing hubs that do not end: %s", what, processes)
            for process in processes:
                process.kill()
            deadline = float("inf")
        gevent.sleep(LOOK)
