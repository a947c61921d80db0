"""The listening sockets that a hub is started with: from when on it accepts from them.

Where each hub has a queue of its own, once it has been told where topics are. Of an address that is shared,
which has one queue for all, only when the broker says so, or when there is no broker any more to say who
does.

Each hub's own queue is kept by another hub as well, which accepts from it when there is no broker: so nobody
in it is lost, or waits, if its own hub dies or hangs then.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping

from actorrpc.hub.accepting.reception import Reception
from actorrpc.ipc.queues import queue_text

__all__ = ["OwnQueue"]

log = logging.getLogger("actorrpc.hub")


class OwnQueue:
    """``own`` are the hub's own sockets by the numbers of their queues, ``shared`` those of all hubs."""

    def __init__(
        self,
        own: Mapping[int, socket.socket],
        shared: Mapping[int, socket.socket],
        hub: int,
        serial: int,
        reception: Reception,
    ) -> None:
        #: They are the reception's later.
        self._own = dict(own)
        #: They stay here too, for the next time that there is no broker.
        self._shared = dict(shared)
        self._hub = hub
        self._serial = serial
        self._reception = reception
        self._alone = False
        #: By queue, those of others that are kept.
        self._kept: dict[int, socket.socket] = {}

    def joined(self) -> None:
        """The hub may accept from now on."""
        while self._own:
            queue, sock = self._own.popitem()
            self._reception.listen(sock, queue)

    def alone(self) -> None:
        """There is no broker any more to say who accepts for all: of those that are left, the hub with the
        lowest serial does. To be called from time to time, since that one may die.

        Left are those that are heard and do not stop. Another may do so already, at the broker's last word
        or because this one was not heard: they may both.
        """
        self.joined()
        self._listen_too(self._kept.items())
        if not self._shared:
            return
        occupancy = self._reception.occupancy
        if not self._alone:
            self._alone = True
            occupancy.broker_lost()
        if self._serial < min(occupancy.able, default=self._serial + 1):
            self._listen_too(self._shared.items(), spread=True)

    def _listen_too(self, queues: Iterable[tuple[int, socket.socket]], *, spread: bool = False) -> None:
        """Accept from queues whose sockets stay here as well."""
        for queue, sock in queues:
            if queue in self._reception.waiting.listeners:
                continue
            try:
                copy = sock.dup()
            except OSError as error:  # no descriptor left: the next time, perhaps
                log.warning("cannot accept from queue %s: %s", queue_text(queue), error)
            else:
                self._reception.listen(copy, queue, spread=spread)

    def keep(self, queue: int, sock: socket.socket, *, more: bool) -> None:
        """Keep a queue: ``more``, beside those that are kept, else instead of them."""
        if not more:
            self._let_go()
        if (before := self._kept.pop(queue, None)) is not None:
            before.close()
        self._kept[queue] = sock

    def _let_go(self) -> None:
        for sock in self._kept.values():
            sock.close()
        self._kept.clear()

    def broker_found(self) -> None:
        """There is one again to say so."""
        if self._alone:
            self._alone = False
            self._reception.occupancy.broker_found()

    def offers(self) -> list[tuple[int, int, bool]]:
        """All listening sockets that the hub has: queue, descriptor, and whether it accepts from that."""
        listeners = self._reception.waiting.listeners
        offers = [(queue, listener.fileno(), True) for queue, listener in listeners.items()]
        rest = self._own | self._shared | self._kept
        return offers + [
            (queue, sock.fileno(), False) for queue, sock in rest.items() if queue not in listeners
        ]

    def close(self) -> None:
        self._let_go()
        for sock in (*self._own.values(), *self._shared.values()):
            sock.close()
        self._own.clear()
        self._shared.clear()

    def __repr__(self) -> str:
        return (
            f"<OwnQueue of hub {self._hub}, {len(self._own)} to come, {len(self._shared)} shared"
            f"{', alone' * self._alone}>"
        )
