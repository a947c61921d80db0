"""Whether a hub gives away all that it has, to whom, and what the broker is told of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.moving.drain import Drain
from actorrpc.hub.moving.mover import Mover
from actorrpc.net.peers import Unserved
from actorrpc.pb import control_pb2

__all__ = ["Draining"]


class Draining:
    """Of one hub, which gives to processes that it has ``links`` to.

    ``rest(whether)`` has it accept no connections meanwhile. ``drain_timeout``: in how many seconds it is to
    be empty, unless it is told. ``unserved()``: connections that stay until they are served.
    """

    def __init__(
        self,
        connections: Mapping[str, CallStage],
        mover: Mover,
        links: Mapping[int, object],
        rest: Callable[[bool], object],
        drain_timeout: float,
        unserved: Callable[[], Iterable[Unserved]] = tuple,
    ) -> None:
        self._unserved = unserved
        self._connections = connections
        self._mover = mover
        self._links = links
        self._rest = rest
        self._drain_timeout = drain_timeout
        self._drain: Drain | None = None
        self._holds = False

    @property
    def under_way(self) -> bool:
        return self._drain is not None

    def drain(self, targets: Mapping[int, int], within: float = 0.0, *, hold: bool = False) -> None:
        """Move all connections to these processes, by serial, with how many connections each has, and take no
        others; without any, go on as before. ``within`` so many seconds; 0: the drain timeout. ``hold``, in
        place of targets: serve on until there are some."""
        if self._drain is not None and (targets or hold):
            self._drain.retarget(targets)
            if self._holds is not hold:
                self._rest(not hold)
            self._holds = hold
            return
        self.close()
        self._drain, self._holds = None, hold
        self._rest(bool(targets))
        if targets or hold:
            self._drain = Drain(
                self._connections,
                self._mover.move,
                self._mover.cost,
                self._links,
                targets,
                within=within or self._drain_timeout,
                why_unfit=self._mover.why_unfit,
            )

    def left_behind(self) -> control_pb2.LeftBehind | None:
        """Who has not been moved away by the drain under way; None if there is none."""
        return None if self._drain is None else self._drain.left_behind()

    def drain_to_all(self) -> bool:
        """Move all connections to all other hubs. Returns whether there are any."""
        targets = dict.fromkeys(self._links, 0)
        if targets:
            self.drain(targets)
        return bool(targets)

    def tell(self, load: control_pb2.Load) -> None:
        """Put how far it is into a report."""
        if self._drain is not None:
            load.draining.CopyFrom(self._drain.report())
            for each in self._unserved():
                load.draining.left += 1
                load.draining.stays[each.why] += 1

    def close(self) -> None:
        """Begin no more moves, and take nothing all the same."""
        if self._drain is not None:
            self._drain.close()

    def __repr__(self) -> str:
        return f"<Draining {self._drain!r}>"
