"""All handoffs of one hub, and which of them a message, a link's end or a closed connection concerns."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from itertools import count

from actorrpc.hub.moving.keyed import ActorDeparture, KeyedSource, KeyedTarget
from actorrpc.hub.moving.source import Departing, Source, Timer
from actorrpc.hub.moving.states import SourceEvent, TargetEvent
from actorrpc.hub.moving.target import Arriving, Target
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.sender import Sender
from actorrpc.loop.duties import do_all
from actorrpc.pb import control_pb2

__all__ = ["Handoffs"]

log = logging.getLogger("actorrpc.handoff")

_TO_SOURCE = {"prepared": SourceEvent.READY, "refused": SourceEvent.REFUSED}


class Handoffs:
    """What leaves and what arrives. ``thaw(prepare, fds)`` makes the connection that a source offers.

    An attempt is known by its link and its number. A connection's id would not do: an answer to an attempt
    that was given up would be taken for one to the next, and a hub may be offered a connection by one hub
    before it has read that another one no longer offers it.
    """

    def __init__(
        self,
        *,
        timer: Timer,
        quiesce_timeout: float,
        thaw: Callable[[control_pb2.Prepare, tuple[int, ...]], Arriving],
        first: int = 1,
    ) -> None:
        """``first`` is the number of the first attempt (``move_id.first_number``)."""
        #: By connection.
        self.sources: dict[str, Source] = {}
        self.targets: dict[tuple[Sender, int], Target] = {}
        self._timer = timer
        self._quiesce_timeout = quiesce_timeout
        self._thaw = thaw
        self._numbers = count(first)

    def begin(self, connection: Departing, link: Sender, done: Callable[[Source, str], None]) -> None:
        """Move a connection that does not move yet over a link; ``done`` may come before this returns."""

        def finished(source: Source, why: str) -> None:
            del self.sources[connection.id]
            done(source, why)

        kind = KeyedSource if isinstance(connection, ActorDeparture) else Source
        source = self.sources[connection.id] = kind(
            connection,
            next(self._numbers),
            link,
            timer=self._timer,
            quiesce_timeout=self._quiesce_timeout,
            done=finished,
        )
        source.begin()

    def receive(self, link: Sender, message: control_pb2.HubToHub, fds: tuple[int, ...]) -> None:
        """Take a message about a handoff, and the descriptors that came with it.

        What concerns none that is under way is ignored: the other side had not heard of its end yet.
        """
        kind = message.WhichOneof("kind")
        if kind == "commit" and (target := self.targets.pop((link, message.commit.number), None)) is not None:
            target.commit(fds, message.commit.freezes)
            return
        try:
            self._receive(link, kind, message, fds)
        finally:
            close_all(fds)

    def _receive(
        self, link: Sender, kind: str | None, message: control_pb2.HubToHub, fds: tuple[int, ...]
    ) -> None:
        """As ``receive``; the descriptors stay the caller's."""
        if kind == "prepare":
            self._on_prepare(link, message.prepare, fds)
        elif kind == "abort" and (target := self.targets.pop((link, message.abort.number), None)) is not None:
            target.on(TargetEvent.ABORT)
        elif kind in _TO_SOURCE:
            answer = getattr(message, kind)
            source = self.sources.get(answer.connection)
            if source is not None and (source.link, source.number) == (link, answer.number):
                source.on(_TO_SOURCE[kind], getattr(answer, "why", ""))

    def _on_prepare(self, link: Sender, prepare: control_pb2.Prepare, fds: tuple[int, ...]) -> None:
        key = link, prepare.number
        kind = KeyedTarget if prepare.epoch else Target
        target = self.targets[key] = kind(prepare.connection, prepare.number, link)
        try:
            target.prepare(lambda: self._thaw(prepare, fds))
        finally:  # also where the answer cannot be sent
            if not target.waiting:
                self.targets.pop(key, None)

    def link_lost(self, link: Sender, why: str) -> None:
        """A link has ended, and all that came over it has been received: settle what was under way on it."""
        for source in [source for source in self.sources.values() if source.link is link]:
            do_all(log, why, partial(source.on, SourceEvent.LINK_LOST, why))
        for key in [key for key in self.targets if key[0] is link]:
            do_all(log, why, partial(self.targets.pop(key).on, TargetEvent.LINK_LOST))

    def arrives(self, connection_id: str) -> bool:
        """Whether a connection is on its way here."""
        return any(target.id == connection_id for target in self.targets.values())

    def closed(self, connection_id: str) -> None:
        """A connection has been closed here, or let go."""
        source = self.sources.get(connection_id)
        if source is not None:
            source.on(SourceEvent.CLOSED)

    def give_up(self, why: str) -> None:
        """Take back all that leaves and can be taken back."""
        for source in list(self.sources.values()):
            do_all(log, why, partial(source.on, SourceEvent.OVERDUE, why))

    def __bool__(self) -> bool:
        """Whether anything is under way."""
        return bool(self.sources or self.targets)

    def __repr__(self) -> str:
        return f"<Handoffs: {len(self.sources)} leaving, {len(self.targets)} arriving>"
