"""The links of one hub to the others: what is said over them, and to whom in this hub it is said."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from functools import partial

from actorrpc.ipc.framing import close_all
from actorrpc.ipc.link import Link
from actorrpc.pb import control_pb2

__all__ = ["FRESH", "HANDOFFS", "TOPICS", "HubLink", "Links", "Take"]

HubToHub = control_pb2.HubToHub
HubLink = Link[HubToHub]

#: The largest message to another hub: one of a topic. Large snapshots do not travel in messages.
MAX_HUB_FRAME = 64 * 1024 * 1024

#: What may wait in a link before topics say no more there: enough to keep it busy, and no more than that for
#: each of the 255 hubs that may be stuck.
MAX_UNSENT_TOPICS = 512 * 1024

#: The kinds of messages, by what they are about: moves, connections that have just been accepted, topics.
HANDOFFS = ("prepare", "prepared", "refused", "commit", "abort")
FRESH = ("accepted", "taken", "declined", "occupancy")
TOPICS = (
    *("subscribe", "subscribed", "unsubscribe", "publish", "published", "deliver"),
    *("rejoined", "handover", "received", "released"),
)

#: Takes a message from a hub, which came over that link with these descriptors, and which it has to close.
Take = Callable[[int, HubLink, HubToHub, tuple[int, ...]], None]


class Links:
    """One link to each hub that there is, by its number."""

    def __init__(
        self,
        takes: Mapping[str, Take],
        has_room: Callable[[int], None],
        lost: Callable[[int, HubLink, bool], None],
    ) -> None:
        """``takes`` says who takes a message, by its kind. ``has_room(hub)`` is called when a link has room
        for more; ``lost(hub, link, gone)`` when one has ended, ``gone``: and there is no other to its hub."""
        self._takes = takes
        self._has_room = has_room
        self._lost = lost
        self.by_hub: dict[int, HubLink] = {}

    def add(self, hub: int, sock: socket.socket) -> HubLink:
        """Take a link to another hub, which replaces an earlier one to a process that has died.

        That one may have sent a COMMIT, so that what it said is heard first.
        """
        old = self.by_hub.get(hub)
        if old is not None and not old.closed:
            old.drain()
            old.close()
            self._end(hub, old)
        self.by_hub[hub] = link = Link(
            sock,
            HubToHub,
            lambda message, fds: self.receive(hub, link, message, fds),
            partial(self._end, hub),
            max_frame=MAX_HUB_FRAME,
            on_taken=partial(self._has_room, hub),
        )
        return link

    def send(self, hub: int, message: HubToHub) -> None:
        """Say something to a hub; what cannot be said because the hub is dead is dropped."""
        link = self.by_hub.get(hub)
        if link is not None:
            link.send(message)

    def has_room(self, hub: int) -> bool:
        """Whether topics may say more to a hub."""
        link = self.by_hub.get(hub)
        return link is not None and not link.closed and link.unsent < MAX_UNSENT_TOPICS

    def drain(self, hub: int) -> None:
        """Hear what a hub has said before now."""
        link = self.by_hub.get(hub)
        if link is not None:
            link.drain()

    def receive(self, hub: int, link: HubLink, message: HubToHub, fds: tuple[int, ...]) -> None:
        """Give a message to whoever takes its kind."""
        take = self._takes.get(message.WhichOneof("kind") or "")
        if take is None:  # of a later version
            close_all(fds)
        else:
            take(hub, link, message, fds)

    def _end(self, hub: int, link: HubLink) -> None:
        """The link has ended: most likely the process at its other end is dead."""
        gone = self.by_hub.get(hub) is link
        if gone:
            del self.by_hub[hub]
        self._lost(hub, link, gone)

    def close(self) -> None:
        for link in self.by_hub.values():
            link.close()

    def __repr__(self) -> str:
        return f"<Links to {sorted(self.by_hub)}>"
