"""How processes end whose connections others are given: for a reload, fewer hubs, a signal to one hub."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import gevent

from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.processes.hub_process import HubProcess

__all__ = ["LOOK", "end", "wait_until_empty"]

log = logging.getLogger("actorrpc.broker")

#: Between two looks at how far they are.
LOOK = 0.05
#: How much longer than the drain timeout a hub may take to end before it is killed.
GRACE = 4.0


def wait_until_empty(drains: Drains, processes: Sequence[HubProcess], deadline: float) -> None:
    """Wait until drained processes have given everything away, but no longer than until ``deadline``, on the
    monotonic clock."""
    while time.monotonic() < deadline and not all(map(drains.empty, processes)):
        gevent.sleep(LOOK)


def end(what: str, drains: Drains, processes: Sequence[HubProcess], drain_timeout: float) -> None:
    """End processes: GOAWAY to whoever is left, and ``drain_timeout`` seconds for their open calls. Waits
    until they have gone; those that do not go are killed. ``what``, for the log: why they end."""
    progress = drains.progress(processes)
    if progress["left"]:
        stays = "".join(f"; {count}: {why}" for why, count in progress["stays"].items())
        log.warning("%s: %d connections could not move and are ended%s", what, progress["left"], stays)
    for process in processes:
        process.stop(drain_timeout)
    deadline = time.monotonic() + drain_timeout + GRACE
    while any(process.exit_code is None for process in processes):
        if time.monotonic() > deadline:
            log.warning("%s: killing hubs that do not end: %s", what, processes)
            for process in processes:
                process.kill()
            deadline = float("inf")
        gevent.sleep(LOOK)
