"""A hub whose broker has gone, and the next broker, which calls it.

The hub listens at a socket of its own in the runtime directory, ``hub-N.sock``, and takes a call only while
it has no broker: one that calls earlier waits in the socket's queue. Only who may enter the directory can
call, and there the broker's lock sees to it that there is one at a time.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from gevent import get_hub

from actorrpc.forks import serves
from actorrpc.hub.accepting.own_queue import OwnQueue
from actorrpc.hub.node import Node
from actorrpc.ipc.framing import MAX_FDS
from actorrpc.ipc.hello import Hello
from actorrpc.ipc.spares import Spares
from actorrpc.loop.timers import Timer
from actorrpc.net.sockets import socket_of
from actorrpc.pb import control_pb2

__all__ = ["PATIENCE", "Calls", "adopted"]

log = logging.getLogger("actorrpc.hub")

#: For how many seconds a hub that has never served waits for a broker that would have it do so.
PATIENCE = 60.0
#: How long to take no call after a failure.
PAUSE = 1.0


class Calls:
    """Takes a call while there is no broker. ``called(sock)`` gets it."""

    def __init__(self, sock: socket.socket, called: Callable[[socket.socket], None]) -> None:
        self._sock = socket_of(sock.detach())
        serves(self._sock)
        self._called = called
        self._watcher: Any = get_hub().loop.io(self._sock.fileno(), 1)
        self._timer, self._pause = Timer(), Timer()
        self._spares = Spares()

    def wait(self, useless: Callable[[], None] | None) -> None:
        """The broker has gone. ``useless()`` is called if none has called after ``PATIENCE``.

        To be called before anything else can have the descriptor of the link to it: a client that waits, say.
        """
        self._spares.close()
        with suppress(OSError):
            self._spares.reserve()
        self._watcher.start(self._on_call)
        if useless is not None:
            self._timer.set(PATIENCE, useless)

    def _on_call(self) -> None:
        self._spares.make_room()
        try:
            fd, _ = self._sock._accept()  # type: ignore[attr-defined]
        except OSError as error:  # it has gone again, or there is no descriptor left
            self._spares.fill()
            if not isinstance(error, BlockingIOError):
                log.warning("cannot take a broker's call: %s", error)
                self._watcher.stop()
                self._pause.set(PAUSE, self._watcher.start, self._on_call)
            return
        self._watcher.stop()
        self._called(socket_of(fd))

    def adopted(self) -> None:
        """There is a broker again."""
        self._timer.stop()

    def close(self) -> None:
        """The process ends."""
        self._watcher.close()
        self._timer.stop()
        self._pause.stop()
        self._spares.close()
        self._sock.close()

    def __repr__(self) -> str:
        return f"<Calls{' awaited' if self._watcher.active else ''}>"


def adopted(
    broker: Hello, node: Node, own: OwnQueue, states: Mapping[str, int], *, stopping: bool, retiring: bool
) -> tuple[control_pb2.Adopted, list[int]]:
    """What a hub says to a broker that calls, with the descriptors that go with it, which stay the hub's.

    Raises ConfigError if the two do not understand each other.
    """
    Hello.own().agree_with_broker(broker)
    offers = own.offers()[:MAX_FDS]
    message = control_pb2.Adopted(
        hello=Hello.own().to_message(),
        homes=node.topics.homes.version,
        queues=[control_pb2.Queue(number=queue, accepting=accepting) for queue, _, accepting in offers],
        stopping=stopping,
        draining=node.reception.occupancy.resting,
        retiring=retiring,
        load=control_pb2.Load(connections=len(node.connections)),
        states=states,
        links=node.links.numbers,
        keyed=not node.directory.unusable,
    )
    return message, [fd for _, fd, _ in offers]
