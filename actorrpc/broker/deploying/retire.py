"""Hubs that were told to end by a signal to them alone: each asks, and goes when others have all it had.

The supervisor starts each again, as after any end.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent

from actorrpc.broker.deploying.drains import Drains
from actorrpc.broker.deploying.endings import LOOK, end, wait_until_empty
from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.broker.sharing.members import Members
from actorrpc.log import about

__all__ = ["Retirements"]

log = logging.getLogger("actorrpc.broker")


class Retirements:
    """Those under way. ``change`` is as in ``Scale``; ``drain_timeout()`` is asked when one begins: a reload
    may change it."""

    def __init__(
        self,
        members: Members,
        drains: Drains,
        change: Callable[[Callable[[], Any]], Any],
        drain_timeout: Callable[[], float],
    ) -> None:
        self._members = members
        self._drains = drains
        self._change = change
        self._drain_timeout = drain_timeout
        self._under_way: dict[HubProcess, gevent.Greenlet[..., None]] = {}

    def __contains__(self, process: HubProcess) -> bool:
        return process in self._under_way

    def begin(self, process: HubProcess) -> None:
        """A process asks to be retired. Called as a change."""
        if process.stopping or process in self._under_way:
            return
        if process not in self._members or len(self._members.serving) == 1:
            process.stop(self._drain_timeout())
            return
        log.info(
            "hub %d is told to end, and gives what it has to others", process.hub, extra=about(process.hub)
        )
        greenlet = gevent.spawn(self._run, process)
        self._under_way[process] = greenlet
        greenlet.link(lambda _: self._under_way.pop(process, None))

    def _run(self, process: HubProcess) -> None:
        drain_timeout = self._drain_timeout()
        deadline = time.monotonic() + drain_timeout
        while not self._change(partial(self._begin_to_drain, process)) and time.monotonic() < deadline:
            gevent.sleep(LOOK)
        wait_until_empty(self._drains, [process], deadline)
        end(f"hub {process.hub}", [process], drain_timeout)

    def _begin_to_drain(self, process: HubProcess) -> bool:
        """Returns whether it is drained, or has ended. There may be no other to take what it has: all have
        been told to end, and one has to be there again first."""
        if process in self._drains or process.exit_code is not None:
            return True
        if not self._drains.takers([process]):
            return False
        self._drains.begin({process: ()})
        return True

    def close(self) -> None:
        """All hubs are about to be stopped."""
        gevent.killall(list(self._under_way.values()), block=False)

    def __repr__(self) -> str:
        return f"<Retirements of {[process.hub for process in self._under_way]}>"
