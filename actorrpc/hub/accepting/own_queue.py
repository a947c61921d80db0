"""The listening socket that a hub is started with: from when on it accepts from that.

With a queue for each hub, once it has been told where topics are. With one queue for all, only when the
broker says so, or when there is no broker any more to say who does.

With a queue for each hub, each queue is kept by another hub as well, which accepts from it when there is no
broker: so nobody in it is lost, or waits, if its own hub dies or hangs then.
"""

from __future__ import annotations

import logging
import socket

from actorrpc.hub.accepting.reception import Reception

__all__ = ["OwnQueue"]

log = logging.getLogger("actorrpc.hub")


class OwnQueue:
    """``acceptor``: it is the only one of the server, and number 0; else its number is the hub's."""

    def __init__(
        self, sock: socket.socket, hub: int, serial: int, acceptor: bool, reception: Reception
    ) -> None:
        #: None once it is the reception's. The only one of the server stays here too, for the next time that
        #: there is no broker.
        self._sock: socket.socket | None = sock
        self._hub = hub
        self._serial = serial
        self._acceptor = acceptor
        self._reception = reception
        self._alone = False
        #: By queue, those of others that are kept.
        self._kept: dict[int, socket.socket] = {}

    def joined(self) -> None:
        """The hub may accept from now on."""
        if not self._acceptor and self._sock is not None:
            self._reception.listen(self._sock, self._hub)
            self._sock = None

    def alone(self) -> None:
        """There is no broker any more to say who accepts for all: of those that are left, the hub with the
        lowest serial does. To be called from time to time, since that one may die.

        Left are those that are heard and do not stop. Another may do so already, at the broker's last word
        or because this one was not heard: they may both.
        """
        if not self._acceptor:
            self.joined()
            for queue, sock in self._kept.items():
                self._listen_too(queue, sock)
            return
        occupancy = self._reception.occupancy
        if not self._alone:
            self._alone = True
            occupancy.broker_lost()
        if self._serial < min(occupancy.able, default=self._serial + 1):
            self._listen_too(0, self._sock)

    def _listen_too(self, queue: int, sock: socket.socket | None) -> None:
        """Accept from a queue whose socket stays here as well."""
        if sock is None or queue in self._reception.waiting.listeners:
            return
        try:
            copy = sock.dup()
        except OSError as error:  # no descriptor left: the next time, perhaps
            log.warning("cannot accept from queue %d: %s", queue, error)
        else:
            self._reception.listen(copy, queue, spread=self._acceptor)

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
        own = 0 if self._acceptor else self._hub
        if self._sock is not None and own not in listeners:
            offers.append((own, self._sock.fileno(), False))
        kept = [(queue, sock.fileno(), False) for queue, sock in self._kept.items() if queue not in listeners]
        return offers + kept

    def close(self) -> None:
        self._let_go()
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __repr__(self) -> str:
        return f"<OwnQueue of hub {self._hub}{', for all' * self._acceptor}{', alone' * self._alone}>"
