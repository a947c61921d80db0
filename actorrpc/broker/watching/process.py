"""``Watched``: a hub's process, as those see it who watch it."""

from __future__ import annotations

from typing import Any, Protocol

from gevent.event import AsyncResult

from actorrpc.broker.watching.dumps import Place
from actorrpc.pb import control_pb2

__all__ = ["Watched"]


class Watched(Protocol):
    """What ``actorrpc.broker.processes.hub_process.HubProcess`` does for them."""

    hub: int
    pid: int
    #: The app is loaded.
    ready: bool
    #: When anything was heard from it, on the monotonic clock.
    heard: float
    #: For how long it was silent when it was last heard again after a silence.
    was_silent: float

    @property
    def linked(self) -> bool:
        """Whether it can be heard: a hub whose link has broken serves on, and nobody knows how it is."""

    def ask(self, question: control_pb2.ToHub) -> AsyncResult[Any]:
        """Send a question that has a number. The result is None if the hub will not answer any more."""

    def stack(self) -> list[Place]:
        """Where its main thread is, the outermost place first, also while that is held. Waits for about a
        second at most. Raises NoStack if it cannot be had."""

    def kill(self) -> None: ...
