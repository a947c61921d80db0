"""Giving new connections to other hubs, and taking theirs, so that none is lost and none has two owners.

    giver                                               taker

    unread, kept  ── ACCEPTED(socket) ────────────────►  room? ── no ──► lets go
       │          ◄─────────────────────── DECLINED ──────  │
       │ given back: another hub, or wait                   │ yes
       │          ◄─────────────────────── TAKEN ─────────  ▼
       ▼                                                 serves, once the kernel has taken TAKEN
    lets go

Both hold the socket until then, and neither reads from it. The taker owns it when the kernel has taken TAKEN:
if the link ends without it, nothing was read, and the giver gives the socket to another hub. A giver that
could not read the link to its end does not know, and lets go: the taker serves, or the client sees a close.
In a handoff (``actorrpc.hub.moving.states``) it is the other way round: there the socket is in use, and the
death of its owner must close it at once.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from actorrpc.hub.accepting.least_loaded import Estimate
from actorrpc.hub.accepting.proxied import from_message, to_message
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.sender import Sender
from actorrpc.loop.duties import do_all
from actorrpc.net.peers import Remote
from actorrpc.net.sockets import socket_of
from actorrpc.pb import control_pb2

__all__ = ["Neighbour", "Passing", "PendingConnection"]

log = logging.getLogger("actorrpc.hub")

#: For how many quarters of a second a hub may leave a connection unanswered, or say nothing, before it gets
#: no more until it is heard again. They are the ticks of this hub: time in which this one was itself held up
#: says nothing about others. A hub with nothing new to say repeats itself every ``HEARTBEAT`` ticks.
UNANSWERED = 2
UNHEARD = 4
HEARTBEAT = 2


@dataclass(slots=True, eq=False)
class PendingConnection:
    """An accepted connection that no hub serves yet: no byte of it has been read, but for a PROXY header."""

    sock: socket.socket
    #: The client.
    remote: Remote
    #: It is to go to the least loaded hub, even if this one has room.
    spread: bool
    #: When its client began to wait, on the monotonic clock.
    since: float


@dataclass(slots=True, eq=False)
class Neighbour:
    """Another hub, and what is under way to it and from it."""

    hub: int
    link: Sender
    estimate: Estimate = field(default_factory=Estimate)
    #: It gives connections away, and wants to know what others have.
    gives: bool = False
    #: Guests that it has not answered for, by number, and the tick in which they went.
    leaving: dict[int, tuple[PendingConnection, int]] = field(default_factory=dict)
    #: The tick in which it was last heard.
    heard: int = 0
    #: Taken from it, but the kernel has not taken the answer yet.
    arriving: set[socket.socket] = field(default_factory=set)
    #: What it has been told of this hub, and how many this hub has taken from it since.
    told: control_pb2.Occupancy | None = None
    taken: int = 0

    def check(self, tick: int) -> None:
        """See whether it answers."""
        # Numbers rise, so that the first is the oldest.
        oldest = next(iter(self.leaving.values()), None)
        unanswered = oldest is not None and tick - oldest[1] > UNANSWERED
        self.estimate.silent = unanswered or tick - self.heard > UNHEARD


class Passing:
    """All neighbours. ``serve(sock, remote)`` takes a connection from one of them if ``has_room()``.

    ``back(pending)`` is called for one that a neighbour has not taken; ``news()`` when a neighbour may take
    more than before, has been lost, or wants to be told what this hub has.
    """

    def __init__(
        self,
        *,
        has_room: Callable[[], bool],
        serve: Callable[[socket.socket, Remote], None],
        back: Callable[[PendingConnection], None],
        news: Callable[[], None],
    ) -> None:
        self.neighbours: dict[int, Neighbour] = {}
        self._has_room = has_room
        self._serve = serve
        self._back = back
        self._news = news
        #: Neighbours that have given as many as this hub said it would take.
        self.spent: set[Neighbour] = set()
        self._numbers = count(1)
        self._ticks = 0

    @property
    def under_way(self) -> Iterator[Neighbour]:
        """Those to or from which connections are under way."""
        return (each for each in self.neighbours.values() if each.leaving or each.arriving)

    @property
    def arriving(self) -> int:
        """Connections that this hub has taken, and does not serve yet."""
        return sum(len(neighbour.arriving) for neighbour in self.neighbours.values())

    def add(self, hub: int, link: Sender) -> None:
        """Add a link to a hub. It replaces one to an earlier process of that hub."""
        if (old := self.neighbours.get(hub)) is not None:
            self.spent.discard(old)
        self.neighbours[hub] = Neighbour(hub, link, heard=self._ticks)

    def tick(self) -> None:
        """A quarter of a second has passed."""
        self._ticks += 1
        for neighbour in self.neighbours.values():
            neighbour.estimate.tick()

    def listen_anew(self) -> None:
        """Start to wait for word from each neighbour now: before, none had to say anything."""
        for neighbour in self.neighbours.values():
            neighbour.heard = self._ticks

    def lost(self, hub: int, link: Sender, broken: bool = False) -> None:
        """The link has ended, and all that came over it has been received; ``broken``: not all."""
        neighbour = self.neighbours.get(hub)
        if neighbour is None or neighbour.link is not link:
            return
        del self.neighbours[hub]
        self.spent.discard(neighbour)
        for sock in neighbour.arriving:
            sock.close()  # the giver has it, and has not heard that we took it
        untaken = [pending for pending, _ in neighbour.leaving.values()]
        neighbour.leaving.clear()
        back = _let_go if broken else self._back
        do_all(log, f"the loss of {hub}", *[partial(back, each) for each in untaken], self._news)

    def give(self, hub: int, pending: PendingConnection) -> bool:
        """Give a connection to a hub. False: it could not be sent, and remains the caller's."""
        neighbour = self.neighbours[hub]
        number = next(self._numbers)
        remote = pending.remote
        accepted = control_pb2.Accepted(
            number=number, peer=remote.peer, proxied=to_message(remote.proxied), tls=remote.tls
        )
        message = control_pb2.HubToHub(accepted=accepted)
        try:
            if not neighbour.link.send(message, (pending.sock.fileno(),)):
                return False
        except OSError:  # out of descriptors, to keep one for later
            return False
        neighbour.leaving[number] = pending, self._ticks
        neighbour.estimate.under_way += 1
        neighbour.estimate.fresh += 1
        return True

    def receive(self, hub: int, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> None:
        """Take a message about new connections, with its descriptors."""
        kind = message.WhichOneof("kind")
        neighbour = self.neighbours.get(hub)
        if kind is None or neighbour is None:  # its link has ended
            close_all(fds)
            return
        neighbour.heard = self._ticks
        if kind == "accepted":
            self._on_accepted(neighbour, message.accepted, fds)
        else:
            close_all(fds)
            _RECEIVE[kind](self, neighbour, getattr(message, kind))

    def told(self, neighbour: Neighbour, occupancy: control_pb2.Occupancy) -> None:
        """Note that a neighbour has been told what this hub has."""
        neighbour.told, neighbour.taken = occupancy, 0
        self.spent.discard(neighbour)

    def beats(self, neighbour: Neighbour) -> bool:
        """Whether its heartbeat is due: not all are at once."""
        return (self._ticks + neighbour.hub) % HEARTBEAT == 0

    def any_open(self) -> bool:
        """Whether a neighbour may be given one more."""
        for neighbour in self.neighbours.values():
            neighbour.check(self._ticks)
            if neighbour.estimate.open:
                return True
        return False

    @property
    def places(self) -> float:
        """How many connections all neighbours may be given; infinity if one has no limit."""
        return sum(estimate.places for estimate in self.estimates().values())

    def estimates(self) -> dict[int, Estimate]:
        """What is known of each neighbour now."""
        for neighbour in self.neighbours.values():
            neighbour.check(self._ticks)
        return {hub: neighbour.estimate for hub, neighbour in self.neighbours.items()}

    def _on_accepted(
        self, neighbour: Neighbour, accepted: control_pb2.Accepted, fds: tuple[int, ...]
    ) -> None:
        number = accepted.number
        # Without the descriptor: this process is out of them.
        if len(fds) != 1 or not self._has_room():
            close_all(fds)
            declined = control_pb2.HubToHub(declined=control_pb2.Declined(number=number))
            neighbour.link.send(declined)
            return
        sock = socket_of(fds[0])
        facts = from_message(accepted.proxied) if accepted.HasField("proxied") else None
        remote = Remote(accepted.peer, facts, accepted.tls)
        neighbour.arriving.add(sock)
        neighbour.taken += 1
        if neighbour.told is not None and neighbour.taken >= neighbour.told.room:
            self.spent.add(neighbour)

        def own() -> None:
            neighbour.arriving.discard(sock)
            self._serve(sock, remote)

        sent = False
        try:
            sent = neighbour.link.send(control_pb2.HubToHub(taken=control_pb2.Taken(number=number)), then=own)
        finally:
            if not sent:
                neighbour.arriving.discard(sock)
                neighbour.taken -= 1
                sock.close()

    def _on_taken(self, neighbour: Neighbour, taken: control_pb2.Taken) -> None:
        if taken.number in neighbour.leaving:
            pending, _ = neighbour.leaving.pop(taken.number)
            pending.sock.close()
            neighbour.estimate.under_way -= 1
            neighbour.estimate.given += 1
        if neighbour.estimate.silent:
            self._news()

    def _on_declined(self, neighbour: Neighbour, declined: control_pb2.Declined) -> None:
        neighbour.estimate.room = 0  # until it says otherwise
        if declined.number in neighbour.leaving:
            pending, _ = neighbour.leaving.pop(declined.number)
            neighbour.estimate.under_way -= 1
            neighbour.estimate.fresh -= 1
            self._back(pending)

    def _on_occupancy(self, neighbour: Neighbour, occupancy: control_pb2.Occupancy) -> None:
        if occupancy.gives and not neighbour.gives:
            neighbour.told = None  # what it was told before is out of date
        neighbour.gives = occupancy.gives
        room = occupancy.room if occupancy.HasField("room") else None
        was_open = neighbour.estimate.open
        neighbour.estimate.hear(occupancy.connections, occupancy.busy, room)
        neighbour.estimate.stopping = occupancy.stopping
        neighbour.estimate.over_memory = occupancy.over_memory
        neighbour.check(self._ticks)
        # Not each time: all neighbours would be looked at for each message of one of them.
        if (neighbour.estimate.open and not was_open) or (neighbour.gives and neighbour.told is None):
            self._news()

    def close(self) -> None:
        """Close the sockets that are under way."""
        for neighbour in self.neighbours.values():
            for sock in neighbour.arriving:
                sock.close()
            for pending, _ in neighbour.leaving.values():
                pending.sock.close()
        self.neighbours.clear()

    def __repr__(self) -> str:
        leaving = sum(len(neighbour.leaving) for neighbour in self.neighbours.values())
        return f"<Passing {leaving} leaving, {self.arriving} arriving, {len(self.neighbours)} neighbours>"


def _let_go(pending: PendingConnection) -> None:
    """The other hub may have taken it."""
    pending.sock.close()


_RECEIVE: dict[str, Callable[[Passing, Neighbour, Any], None]] = {
    "taken": Passing._on_taken,
    "declined": Passing._on_declined,
    "occupancy": Passing._on_occupancy,
}
