"""Clients that wait in queues and in the lobby because all hubs are full, and when they are refused
(``full_timeout``). How they are told: ``refusal``."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from time import monotonic

from actorrpc.config import Config
from actorrpc.hub.accepting.listener import Listener
from actorrpc.hub.accepting.passing import PendingConnection
from actorrpc.hub.accepting.refusal import Refusal
from actorrpc.loop.timers import Timer

__all__ = ["Waiting"]

log = logging.getLogger("actorrpc.hub")

#: How often the queues are looked at while all is full.
LOOK = 0.25

#: Refusals begun in one step, the pause until the next step, and how many may go on at once. One takes about
#: 0.3 ms in all: the connections that are served keep nine tenths of the hub.
REFUSALS_PER_STEP = 8
NEXT_STEP = 0.025
MAX_REFUSALS = 256


class Waiting:
    """One hub's queues and its lobby, and the refusals of clients that have waited in them for too long.

    ``resume()`` places as many as there is room for; ``hubs()`` says how many hubs there are. ``settled()``
    is called when a refusal is over.
    """

    def __init__(
        self,
        config: Config,
        *,
        resume: Callable[[], None],
        hubs: Callable[[], int],
        settled: Callable[[], None],
    ) -> None:
        self._config = config
        self._resume = resume
        self._hubs = hubs
        self._settled = settled
        #: By the number of the queue that each accepts from.
        self.listeners: dict[int, Listener] = {}
        self.lobby: deque[PendingConnection] = deque()
        #: Those under way, the oldest first.
        self.refusals: dict[Refusal, None] = {}
        #: The queue that the next refusal is from: they take turns.
        self._turn = 0
        self._stopped = False
        self._warned = False
        #: Set while somebody waits.
        self._timer = Timer()

    @property
    def held_up(self) -> list[Listener]:
        """The listeners that accept nobody for now."""
        return [listener for listener in self.listeners.values() if listener.resting]

    def watch(self) -> None:
        """Somebody has to wait: look after those who do, from now on until nobody does."""
        if not (self._timer.active or self._stopped):
            for listener in self.held_up:
                listener.look()
            self._timer.set(LOOK, self._on_timer)

    def stop(self) -> None:
        """Accept nothing more. Those in the lobby stay there, and nothing looks after them."""
        self._stopped = True
        for listener in self.listeners.values():
            listener.close()
        self.listeners.clear()
        self._timer.stop()

    def empty_lobby(self) -> None:
        """This hub stops: refuse those in the lobby that no other hub takes."""
        self._resume()
        while self.lobby:
            self._refuse(self.lobby.popleft(), "the server is shutting down")

    def close(self) -> None:
        """Release everything."""
        self.stop()
        for refusal in list(self.refusals):
            refusal.close()
        for pending in self.lobby:
            pending.sock.close()
        self.lobby.clear()

    def _on_timer(self) -> None:
        try:
            self._look_after_them()
        except Exception:  # they must not wait for ever
            log.exception("%r: error in looking after those who wait", self)
            self._timer.set(LOOK, self._on_timer)

    def _look_after_them(self) -> None:
        self._resume()
        held_up = self.held_up
        if self._stopped or not (held_up or self.lobby):
            self._timer.stop()
            self._warned = False
            return
        for listener in held_up:
            listener.look()
        self._timer.set(NEXT_STEP if self._refuse_overdue(held_up) else LOOK, self._on_timer)

    def _refuse_overdue(self, listeners: list[Listener]) -> bool:
        """Refuse some of those that have waited for too long. Returns whether there may be more."""
        patience = self._config.full_timeout
        if not patience:
            return False
        for _ in range(REFUSALS_PER_STEP):
            crowded = len(self.refusals) >= MAX_REFUSALS
            silent = next((each for each in self.refusals if each.silent), None) if crowded else None
            if crowded and silent is None:
                return True
            pending = self._next_overdue(listeners, patience)
            if pending is None:
                return False
            if silent is not None:
                silent.hurry()
            if not self._warned:  # once, not for each of a crowd
                log.warning("%s; clients are refused", self._full)
                self._warned = True
            self._refuse(pending, self._full)
        return True

    def _next_overdue(self, listeners: list[Listener], patience: float) -> PendingConnection | None:
        if self.lobby and monotonic() - self.lobby[0].since >= patience:
            return self.lobby.popleft()
        for _ in listeners:
            self._turn += 1
            listener = listeners[self._turn % len(listeners)]
            if listener.overdue(patience) and (picked := listener.pick()) is not None:
                return PendingConnection(*picked, spread=False, since=0.0)
        return None

    @property
    def _full(self) -> str:
        """What a client is told."""
        limit, hubs = self._config.max_connections, self._hubs()
        return f"the server is full: {limit} connections" + (f" on each of {hubs} hubs" if hubs > 1 else "")

    def _refuse(self, pending: PendingConnection, why: str) -> None:
        refusal = Refusal(pending.sock, pending.remote, why, self._config, self._refused)
        self.refusals[refusal] = None
        refusal.start()

    def _refused(self, refusal: Refusal) -> None:
        self.refusals.pop(refusal, None)
        self._settled()

    def __repr__(self) -> str:
        return (
            f"<Waiting {len(self.listeners)} listeners, {len(self.lobby)} in the lobby, "
            f"{len(self.refusals)} refusals>"
        )
