"""Where a fresh connection goes: served here, given to another hub, waiting, or refused.

A client waits in the kernel's queue for as long as no hub has room. Whoever was accepted and then finds none,
because others were faster, waits in a lobby of this process, unread, and goes first.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from actorrpc.config import Config
from actorrpc.hub.accepting.least_loaded import DECAY, Estimate, choose
from actorrpc.hub.accepting.listener import Listener
from actorrpc.hub.accepting.passing import Guest, Neighbour, Passing
from actorrpc.hub.accepting.refusal import Refusal
from actorrpc.ipc.sender import Sender
from actorrpc.loop.timers import after
from actorrpc.pb import control_pb2

__all__ = ["Reception"]

log = logging.getLogger("actorrpc.hub")

#: How often the queues are looked at while all is full.
LOOK = 0.25

#: A full hub where clients come and go says no more often than this that it has room again.
ROUND = 0.025

#: A change of the load below this share of a core is not worth a message: see ``least_loaded.BAND``.
FINE = 0.02

#: Refusals begun in one step of the loop, the pause before the next of them, and how many may go on at once.
#: One takes about 0.3 ms in all: the connections that are served keep nine tenths of the hub.
REFUSALS_PER_STEP = 8
NEXT_STEP = 0.025
MAX_REFUSALS = 256


class Reception:
    """The listening sockets of one hub, and all connections that are nobody's yet.

    ``serve(sock, peer)`` makes a connection of one; ``count()`` says how many the hub has, with those that
    are on their way to it. ``settled()`` is called when ``unsettled`` may have become false.
    """

    def __init__(
        self,
        hub: int,
        config: Config,
        *,
        serve: Callable[[socket.socket, str], None],
        count: Callable[[], int],
        settled: Callable[[], None],
    ) -> None:
        self._hub = hub
        self._config = config
        self._serve = serve
        self._count = count
        self._settled = settled
        #: What another hub would know of this one.
        self._own = Estimate()
        self._busy = 0.0
        self._listeners: dict[int, Listener] = {}
        #: Queues whose connections go to the least loaded hub.
        self._spread: set[int] = set()
        self._lobby: deque[Guest] = deque()
        #: Those that go on, the oldest first.
        self._refusals: dict[Refusal, None] = {}
        #: The queue that the next refusal is from: they take turns.
        self._turn = 0
        self._closed = False
        self._warned = False
        self._alone = False
        #: There while somebody is held up.
        self._timer: Any = None
        #: What was last said to all who want to know; when it was last said that there is room again, and the
        #: timer that does so next.
        self._said: control_pb2.Occupancy | None = None
        self._opened = 0.0
        self._round: Any = None
        self.passing = Passing(
            has_room=lambda: self.has_room, serve=serve, back=self._take_back, news=self._on_news
        )

    # ---- queues

    def listen(self, sock: socket.socket, queue: int = 0, *, spread: bool = False) -> None:
        """Accept connections from a listening socket, which is the reception's from now on.

        ``queue`` is its number; it replaces an earlier one. ``spread``: give each connection to the least
        loaded hub.
        """
        if self._closed:
            sock.close()
            return

        def accepted(sock: socket.socket, peer: str, waited: float) -> None:
            self._place(Guest(sock, peer, spread, monotonic() - waited))

        def room() -> bool:
            return self._may_accept() and not self._lobby  # who go first

        self._drop(queue)
        if spread:
            self._spread.add(queue)
        self._listeners[queue] = Listener(sock, accepted, room, self._watch)
        self._tell_all()

    def unlisten(self, queue: int) -> None:
        """Another hub accepts from this queue: let go of the socket."""
        self._drop(queue)
        self._tell_all()

    def _drop(self, queue: int) -> None:
        self._spread.discard(queue)
        if (listener := self._listeners.pop(queue, None)) is not None:
            listener.close()

    def stop(self) -> None:
        """Accept nothing more, and take nothing from other hubs; who is in the lobby may still go to them."""
        self._closed = True
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        self._stop_timer()
        self._tell_all()
        self._empty_lobby()

    def _empty_lobby(self) -> None:
        """This hub stops: other hubs may take those in the lobby; whoever none takes is told so."""
        self.resume()
        while self._lobby:
            self._refuse(self._lobby.popleft(), "the server is shutting down")

    @property
    def unsettled(self) -> bool:
        """Whether a connection is under way between hubs, or being refused."""
        return bool(self._lobby or self._refusals or any(self.passing.under_way))

    def close(self) -> None:
        """Release everything."""
        self._closed = True
        self._settled = lambda: None
        self._stop_timer()
        if self._round is not None:
            self._round.close()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for refusal in list(self._refusals):
            refusal.close()
        for guest in self._lobby:
            guest.sock.close()
        self._lobby.clear()
        self.passing.close()

    # ---- room

    @property
    def has_room(self) -> bool:
        """Whether this hub may serve one more."""
        limit = self._config.max_connections
        return not self._closed and (not limit or self._count() < limit)

    def _may_accept(self) -> bool:
        """Whether there is a hub for one more."""
        return self.has_room or self.passing.any_open()

    def resume(self) -> None:
        """There may be room again, here or elsewhere: for those in the lobby first."""
        while self._lobby and self._may_accept():
            guest = self._lobby.popleft()
            if not self._find_place(guest):
                self._lobby.appendleft(guest)
                break
        if not self._lobby and any(self._held_up) and self._may_accept():
            for listener in self._listeners.values():
                listener.resume()

    def changed(self) -> None:
        """This hub has a connection more or less. Tell those soon who are wrong about its being full."""
        if self._said is None or (room := self._room()) is None:
            return
        if not room and self._said.room:
            self._tell_changes()
        elif room and (not self._said.room or self.passing.spent):
            self._say_room()

    def _say_room(self) -> None:
        if self._round is not None:
            return
        wait = self._opened + ROUND - monotonic()
        if wait > 0:
            self._round = after(wait, self._end_round)
        else:
            self._opened = monotonic()
            self._tell_changes()

    def _end_round(self) -> None:
        self._round = None
        self._opened = monotonic()
        self._tell_changes()

    # ---- one connection

    def _place(self, guest: Guest) -> None:
        if not self._find_place(guest):
            self._lobby.append(guest)
            self._watch()

    def _find_place(self, guest: Guest) -> bool:
        """Serve it, or give it to a hub. False: nobody takes it now."""
        tried: list[int] = []
        while (hub := self._choose(guest, tried)) is not None:
            if hub == self._hub:
                self._own.fresh += 1
                self._serve(guest.sock, guest.peer)
                return True
            if self.passing.give(hub, guest):
                return True
            tried.append(hub)
        return False

    def _choose(self, guest: Guest, excluded: list[int]) -> int | None:
        if self.has_room and not guest.spread:
            return self._hub
        hubs = self.passing.estimates()
        self._own.report(self._count(), self._busy, self._room())
        return choose({**hubs, self._hub: self._own}, excluded)

    def _take_back(self, guest: Guest) -> None:
        """A hub has not taken it. It goes before those that came later."""
        at = sum(1 for other in self._lobby if other.since <= guest.since)
        self._lobby.insert(at, guest)
        if self._closed:
            self._empty_lobby()
        else:
            self.resume()
            self._watch()
        self._settled()

    # ---- waiting and refusing

    def _watch(self) -> None:
        """Somebody is held up: look after those who wait, from now on until nobody is."""
        if self._timer is None and not self._closed:
            for listener in self._held_up:
                listener.look()
            self._start_timer(LOOK)

    @property
    def _held_up(self) -> list[Listener]:
        return [listener for listener in self._listeners.values() if listener.resting]

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = after(seconds, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _on_timer(self) -> None:
        try:
            self._look_after_them()
        except Exception:  # they must not wait for ever
            log.exception("%r: error in looking after those who wait", self)
            self._start_timer(LOOK)

    def _look_after_them(self) -> None:
        self.resume()
        held_up = self._held_up
        if self._closed or not (held_up or self._lobby):
            self._stop_timer()
            self._warned = False
            return
        for listener in held_up:
            listener.look()
        self._start_timer(NEXT_STEP if self._refuse_overdue(held_up) else LOOK)

    def _refuse_overdue(self, listeners: list[Listener]) -> bool:
        """Refuse some of those who have waited for too long. Returns whether there may be more of them."""
        patience = self._config.full_timeout
        if not patience:
            return False
        for _ in range(REFUSALS_PER_STEP):
            crowded = len(self._refusals) >= MAX_REFUSALS
            silent = next((each for each in self._refusals if each.silent), None) if crowded else None
            if crowded and silent is None:
                return True
            guest = self._next_overdue(listeners, patience)
            if guest is None:
                return False
            if silent is not None:
                silent.hurry()
            if not self._warned:  # once, not for each of a crowd
                log.warning("%s; clients are refused", self._full)
                self._warned = True
            self._refuse(guest, self._full)
        return True

    def _next_overdue(self, listeners: list[Listener], patience: float) -> Guest | None:
        if self._lobby and monotonic() - self._lobby[0].since >= patience:
            return self._lobby.popleft()
        for _ in listeners:
            self._turn += 1
            listener = listeners[self._turn % len(listeners)]
            if listener.overdue(patience) and (picked := listener.pick()) is not None:
                return Guest(*picked, spread=False, since=0.0)
        return None

    @property
    def _full(self) -> str:
        """What a client is told."""
        limit, hubs = self._config.max_connections, 1 + len(self.passing.neighbours)
        return f"the server is full: {limit} connections" + (f" on each of {hubs} hubs" if hubs > 1 else "")

    def _refuse(self, guest: Guest, why: str) -> None:
        refusal = Refusal(guest.sock, guest.peer, why, self._config, self._refused)
        self._refusals[refusal] = None
        refusal.start()

    def _refused(self, refusal: Refusal) -> None:
        self._refusals.pop(refusal, None)
        self._settled()

    # ---- neighbours

    def _on_news(self) -> None:
        """A neighbour has said what it has, has gone, or answers again."""
        if any(each.gives and each.told is None for each in self.passing.neighbours.values()):
            self._tell_changes()
        self.resume()

    def add(self, hub: int, link: Sender) -> None:
        """A link to another hub."""
        self.passing.add(hub, link)
        if self._gives:
            self._tell(self.passing.neighbours[hub], self._occupancy())

    def tick(self, busy: float) -> None:
        """Take what a quarter of a second has shown of this hub's load, and tell those who want to know."""
        self._busy += (busy - self._busy) * (1 - DECAY)
        self._own.tick()
        self.passing.tick()
        self._tell_changes(beat=True)

    def _tell_changes(self, beat: bool = False) -> None:
        """Tell all who want to know, if it is news to them, or its time for their heartbeat."""
        wanting = [neighbour for neighbour in self.passing.neighbours.values() if neighbour.gives]
        if not wanting:
            self._said = None
            return
        occupancy = self._occupancy()
        if self._said is not None and not _differs(self._said, occupancy):
            occupancy = self._said
        self._said = occupancy
        for neighbour in wanting:
            if neighbour.told is not occupancy or neighbour.taken or (beat and self.passing.beats(neighbour)):
                self._tell(neighbour, occupancy)

    def _room(self) -> int | None:
        if self._closed:
            return 0
        limit = self._config.max_connections
        return max(0, limit - self._count()) if limit else None

    def left_alone(self) -> None:
        """Nobody else sees any more which hub could accept for all: hubs tell each other from now on."""
        self._alone = True
        self.passing.listen_anew()
        self._tell_all()

    @property
    def able(self) -> list[int]:
        """The other hubs that could accept connections, as far as they have been asked."""
        return [
            hub
            for hub, estimate in self.passing.estimates().items()
            if not (estimate.silent or estimate.stopping)
        ]

    @property
    def _gives(self) -> bool:
        """Whether this hub may have to give connections away."""
        return self._alone or bool(self._spread or (self._listeners and self._config.max_connections))

    def _share(self) -> int | None:
        """How many a neighbour may give before it hears again. All that do may do so at the same moment."""
        if not (room := self._room()):
            return room
        givers = self._gives + sum(neighbour.gives for neighbour in self.passing.neighbours.values())
        return -(-room // max(givers, 1))

    def _tell_all(self) -> None:
        """Tell the others what there is here, and whether they are to tell the same.

        Where neither gives connections away, nothing is said.
        """
        occupancy = self._occupancy()
        self._said = occupancy
        for neighbour in self.passing.neighbours.values():
            if occupancy.gives or neighbour.gives or neighbour.told is not None:
                self._tell(neighbour, occupancy)

    def _occupancy(self) -> control_pb2.Occupancy:
        return control_pb2.Occupancy(
            connections=self._count(),
            busy=self._busy,
            room=self._share(),
            gives=self._gives,
            stopping=self._closed,
        )

    def _tell(self, neighbour: Neighbour, occupancy: control_pb2.Occupancy) -> None:
        if neighbour.link.send(control_pb2.HubToHub(occupancy=occupancy)):
            self.passing.told(neighbour, occupancy)

    def __repr__(self) -> str:
        return (
            f"<Reception {len(self._listeners)} listeners, {len(self._lobby)} in the lobby, "
            f"{len(self._refusals)} refusals, {self.passing!r}>"
        )


def _differs(one: control_pb2.Occupancy, other: control_pb2.Occupancy) -> bool:
    """Whether another hub would decide otherwise."""
    return (
        (one.connections, one.room, one.gives, one.stopping)
        != (other.connections, other.room, other.gives, other.stopping)
        or one.HasField("room") != other.HasField("room")
        or abs(one.busy - other.busy) >= FINE
    )
