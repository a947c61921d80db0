"""The listening socket that a hub is started with: from when on it accepts from that.

With a queue for each hub, once it has been told where topics are. With one queue for all, only when the
broker says so, or when there is no broker any more to say who does.
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
            return
        occupancy = self._reception.occupancy
        if not self._alone:
            self._alone = True
            occupancy.broker_lost()
        if self._serial < min(occupancy.able, default=self._serial + 1):
            self._listen_for_all()

    def _listen_for_all(self) -> None:
        if self._sock is None or 0 in self._reception.waiting.listeners:
            return
        try:
            sock = self._sock.dup()
        except OSError as error:  # no descriptor left: the next time, perhaps
            log.warning("cannot accept for all hubs: %s", error)
        else:
            self._reception.listen(sock, 0, spread=True)

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
        return offers

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def __repr__(self) -> str:
        return f"<OwnQueue of hub {self._hub}{', for all' * self._acceptor}{', alone' * self._alone}>"
