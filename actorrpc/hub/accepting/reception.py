"""Where a new connection goes: served here, given to another hub, waiting, or refused.

A client waits in the kernel's queue for as long as no hub has room. If there is none for one that has been
accepted, because others were faster, it waits in the lobby of this process, unread, and goes first.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import monotonic

from actorrpc.config import Config
from actorrpc.hub.accepting.headers import MOST, Headers
from actorrpc.hub.accepting.least_loaded import choose
from actorrpc.hub.accepting.listener import Listener
from actorrpc.hub.accepting.occupancy import Occupancy
from actorrpc.hub.accepting.passing import Passing, PendingConnection
from actorrpc.hub.accepting.shortage import Shortage
from actorrpc.hub.accepting.waiting import Waiting
from actorrpc.ipc.queues import address_of
from actorrpc.ipc.sender import Sender
from actorrpc.net.peers import Remote
from actorrpc.net.proxy_header import ProxyHeader
from actorrpc.net.trusted import Trusted

__all__ = ["Reception"]


class Reception:
    """The listening sockets of one hub, and all connections that no hub serves yet.

    ``serve(sock, remote)`` makes a connection of one; ``count()`` says how many the hub has, with those that
    are on their way to it, and ``number()`` numbers one that awaits its PROXY header. ``settled()`` is
    called when ``unsettled`` may have become false.
    """

    def __init__(
        self,
        hub: int,
        config: Config,
        *,
        serve: Callable[[socket.socket, Remote], None],
        count: Callable[[], int],
        settled: Callable[[], None],
        number: Callable[[], int] = lambda: 0,
    ) -> None:
        self._number = number
        self._hub = hub
        self._serve = serve
        self._settled = settled
        #: Queues whose connections go to the least loaded hub.
        self._spread: set[int] = set()
        #: The numbers of the addresses of which clients speak TLS.
        self.tls: frozenset[int] = frozenset()
        self._trusted = Trusted(config.proxy_protocol)
        self.headers = Headers(config.handshake_timeout, self._on_header_less)
        self.shortage = Shortage()
        self.passing = Passing(
            has_room=lambda: self.occupancy.has_room, serve=serve, back=self._take_back, news=self._on_news
        )
        self.waiting = Waiting(
            config,
            resume=self.resume,
            hubs=lambda: 1 + len(self.passing.neighbours),
            settled=lambda: self._settled(),
        )
        self.occupancy = Occupancy(
            config,
            self.passing,
            count=lambda: count() + len(self.headers),
            accepts=lambda: bool(self._spread or (self.waiting.listeners and config.max_connections)),
        )

    def listen(self, sock: socket.socket, queue: int = 0, *, spread: bool = False) -> None:
        """Accept connections from a listening socket, which is the reception's from now on.

        ``queue`` is its number; it replaces an earlier one. ``spread``: give each connection to the least
        loaded hub.
        """
        if self.occupancy.closed:
            sock.close()
            return

        def accepted(sock: socket.socket, remote: Remote, waited: float) -> None:
            since = monotonic() - waited
            if remote.header_due:
                remote = replace(remote, number=self._number())
                self.headers.read(sock, remote, partial(identified, sock, remote, since))
            else:
                self._place(PendingConnection(sock, remote, spread, since))

        def identified(sock: socket.socket, remote: Remote, since: float, header: ProxyHeader) -> None:
            client = Remote(header.peer or remote.peer, header.facts, remote.tls, number=remote.number)
            self._place(PendingConnection(sock, client, spread, since))

        def room() -> bool:
            # Those in the lobby go first.
            return self._may_accept() and not self.waiting.lobby and self._may_await()

        self._drop(queue)
        if spread:
            self._spread.add(queue)
        self.waiting.listeners[queue] = Listener(
            sock,
            accepted,
            room,
            self.waiting.watch,
            self.shortage.met,
            self._trusted or None,
            tls=address_of(queue) in self.tls,
        )
        self.occupancy.tell_all()

    def rest(self, resting: bool) -> None:
        """Take no connections for now, neither from a queue nor from other hubs; or take them again."""
        self.occupancy.resting = resting
        self.occupancy.tell_all()
        if not resting:
            self.resume()

    def unlisten(self, queue: int) -> None:
        """Let go of a queue, from which another hub accepts now."""
        self._drop(queue)
        self.occupancy.tell_all()

    def _drop(self, queue: int) -> None:
        self._spread.discard(queue)
        if (listener := self.waiting.listeners.pop(queue, None)) is not None:
            listener.close()

    def add(self, hub: int, link: Sender) -> None:
        """Add a link to another hub."""
        self.passing.add(hub, link)
        self.occupancy.tell_new(self.passing.neighbours[hub])

    def _on_news(self) -> None:
        """A neighbour has said what it has, has gone, or answers again."""
        if any(each.gives and each.told is None for each in self.passing.neighbours.values()):
            self.occupancy.tell_changes()
        self.resume()

    def _may_accept(self) -> bool:
        """Whether there is a hub for one more."""
        return self.occupancy.has_room or self.passing.any_open()

    def _may_await(self) -> bool:
        """Whether one more may come, beside those whose PROXY header is awaited: they need places, too."""
        awaited = len(self.headers)
        if not awaited:
            return True
        return awaited < MOST and (self.occupancy.has_room or self.passing.places > awaited)

    def _on_header_less(self) -> None:
        self.occupancy.changed()
        self.resume()

    def resume(self) -> None:
        """There may be room again, here or elsewhere: for those in the lobby first."""
        lobby = self.waiting.lobby
        while lobby and self._may_accept():
            pending = lobby.popleft()
            if not self._find_place(pending):
                lobby.appendleft(pending)
                break
        if not lobby and any(self.waiting.held_up) and self._may_accept():
            for listener in self.waiting.listeners.values():
                listener.resume()

    def _place(self, pending: PendingConnection) -> None:
        if not self._find_place(pending):
            self.waiting.lobby.append(pending)
            self.waiting.watch()

    def _find_place(self, pending: PendingConnection) -> bool:
        """Serve it, or give it to a hub. Returns False if none takes it now."""
        tried: list[int] = []
        while (hub := self._choose(pending, tried)) is not None:
            if hub == self._hub:
                self.occupancy.own.fresh += 1
                self._serve(pending.sock, pending.remote)
                return True
            if self.passing.give(hub, pending):
                return True
            tried.append(hub)
        return False

    def _choose(self, pending: PendingConnection, excluded: list[int]) -> int | None:
        stays = self.occupancy.has_room and not pending.spread
        if stays and not self.occupancy.own.over_memory:
            return self._hub
        hubs = {**self.passing.estimates(), self._hub: self.occupancy.estimate()}
        chosen = choose(hubs, excluded)
        # Where all have too much memory, it stays where it would without that.
        return self._hub if stays and chosen is not None and hubs[chosen].over_memory else chosen

    def _take_back(self, pending: PendingConnection) -> None:
        """Put back one that a hub has not taken, before those that came later."""
        lobby = self.waiting.lobby
        lobby.insert(sum(1 for other in lobby if other.since <= pending.since), pending)
        if self.occupancy.closed:
            self.waiting.empty_lobby()
        else:
            self.resume()
            self.waiting.watch()
        self._settled()

    def stop(self) -> None:
        """Accept nothing more, and take nothing from other hubs. Those in the lobby may still go to them."""
        self.occupancy.closed = True
        self.headers.close()
        self.waiting.stop()
        self.occupancy.tell_all()
        self.waiting.empty_lobby()

    @property
    def unsettled(self) -> bool:
        """Whether a connection is under way between hubs, or being refused."""
        return bool(self.waiting.lobby or self.waiting.refusals or any(self.passing.under_way))

    def close(self) -> None:
        """Release everything."""
        self._settled = lambda: None
        self.occupancy.close()
        self.headers.close()
        self.waiting.close()
        self.passing.close()

    def __repr__(self) -> str:
        return f"<Reception {self.waiting!r}, {self.passing!r}>"
