"""The links of one hub to the others: what is said over them, and to whom in this hub it is said."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping
from functools import partial

from actorrpc.ipc.framing import close_all
from actorrpc.ipc.hello import LINKS, SNAPSHOTS
from actorrpc.ipc.link import Link
from actorrpc.pb import control_pb2

__all__ = ["CALLS", "CONNECTIONS", "DIRECTORY", "FRESH", "HANDOFFS", "TOPICS", "HubLink", "Links", "Take"]

HubToHub = control_pb2.HubToHub

#: The largest message to another hub: one of a topic. Large snapshots do not travel in messages.
MAX_HUB_FRAME = 64 * 1024 * 1024

#: What may wait in a link before topics say no more there: enough to keep it busy, and no more than that for
#: each of the 255 hubs that may be stuck.
MAX_UNSENT_TOPICS = 512 * 1024

#: The first format in which hubs ask each other for connections.
_SEARCHES = 2

#: The kinds of messages, by what they are about: moves, connections that have just been accepted, topics,
#: and where keyed actors are.
HANDOFFS = ("prepare", "prepared", "refused", "commit", "abort")
FRESH = ("accepted", "taken", "declined", "occupancy")
TOPICS = (
    *("subscribe", "subscribed", "unsubscribe", "publish", "published", "deliver"),
    *("rejoined", "handover", "received", "released"),
)
#: And calls of actors, and where connections are whose actors are called.
CALLS = ("invoke", "attach", "withdraw", "answer", "answered", "begun", "absent", "parted")
CONNECTIONS = ("find_connection", "connection_found")
DIRECTORY = ("locate", "release_key", "transfer_key", "directory_answer")


class HubLink(Link[HubToHub]):
    """A link to a process of hub ``hub``; ``snapshots`` is the format of those that are sent there, and
    ``states`` are the states that its app knows (``moving/fit.py``), or empty; ``number`` is what the broker
    knows it by. ``format`` is that of what is said over it."""

    def __init__(
        self,
        sock: socket.socket,
        hub: int,
        snapshots: int,
        number: int,
        on_message: Callable[[HubToHub, tuple[int, ...]], None],
        on_close: Callable[[Link[HubToHub]], None],
        on_taken: Callable[[], None],
        states: Mapping[str, int],
        format: int,
    ) -> None:
        super().__init__(sock, HubToHub, on_message, on_close, max_frame=MAX_HUB_FRAME, on_taken=on_taken)
        self.hub = hub
        self.snapshots = snapshots
        self.states = states
        self.number = number
        self.format = format


#: Takes a message of a process, by its serial, which came over that link with these descriptors, and which it
#: has to close.
Take = Callable[[int, HubLink, HubToHub, tuple[int, ...]], None]


class Links:
    """One link to each other process of a hub that there is, by its serial."""

    def __init__(
        self,
        takes: Mapping[str, Take],
        has_room: Callable[[int], None],
        lost: Callable[[int, HubLink, bool], None],
    ) -> None:
        """``takes`` says who takes a message, by its kind. ``has_room(serial)`` is called when a link has
        room for more; ``lost(serial, link, gone)`` when one has ended, ``gone``: and there is no other, nor
        one about to be added."""
        self._takes = takes
        self._has_room = has_room
        self._lost = lost
        self.by_serial: dict[int, HubLink] = {}

    @property
    def numbers(self) -> dict[int, int]:
        """The processes that there are links to, by serial, and the number of each link."""
        return {serial: link.number for serial, link in self.by_serial.items()}

    def add(
        self,
        serial: int,
        sock: socket.socket,
        hub: int,
        snapshots: int = SNAPSHOTS.newest,
        states: Mapping[str, int] | None = None,
        number: int = 0,
        format: int = LINKS.newest,
    ) -> HubLink:
        """Take a link to a process of a hub, which replaces an earlier one to it.

        That one may have brought a COMMIT, so that what it said is heard first.
        """
        if (old := self.by_serial.pop(serial, None)) is not None:
            old.drain()
            old.give_up()
        self.by_serial[serial] = link = HubLink(
            sock,
            hub,
            snapshots,
            number,
            lambda message, fds: self.receive(serial, link, message, fds),
            lambda ended: self._end(serial, link),
            partial(self._has_room, serial),
            states or {},
            format,
        )
        return link

    def send(self, serial: int, message: HubToHub) -> None:
        """Say something to a process; what cannot be said because it is dead is dropped."""
        link = self.by_serial.get(serial)
        if link is not None:
            link.send(message)

    def known(self) -> Collection[int]:
        """The processes that there are links to."""
        return self.by_serial.keys()

    def can_search(self, serial: int) -> bool:
        """Whether a process knows what is said to find connections."""
        link = self.by_serial.get(serial)
        return link is not None and link.format >= _SEARCHES

    def has_room(self, serial: int) -> bool:
        """Whether topics may say more to a process."""
        link = self.by_serial.get(serial)
        return link is not None and not link.closed and link.unsent < MAX_UNSENT_TOPICS

    def drain(self, serial: int) -> None:
        """Hear what a process has said before now."""
        link = self.by_serial.get(serial)
        if link is not None:
            link.drain()

    def receive(self, serial: int, link: HubLink, message: HubToHub, fds: tuple[int, ...]) -> None:
        """Give a message to whoever takes its kind."""
        take = self._takes.get(message.WhichOneof("kind") or "")
        if take is None:  # of a later version
            close_all(fds)
        else:
            take(serial, link, message, fds)

    def _end(self, serial: int, link: HubLink) -> None:
        """The link has ended: most likely the process at its other end is dead."""
        gone = self.by_serial.get(serial) is link
        if gone:
            del self.by_serial[serial]
        self._lost(serial, link, gone)

    def close(self) -> None:
        for link in self.by_serial.values():
            link.close()

    def __repr__(self) -> str:
        return f"<Links to {sorted(self.by_serial)}>"
