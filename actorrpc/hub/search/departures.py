"""``Departures``: where connections have gone that were here a short while ago."""

from __future__ import annotations

from time import monotonic

from actorrpc.hub.directory.names import Location
from actorrpc.loop.timers import Timer

__all__ = ["KEPT", "Departures"]

#: For how many seconds they are known: longer than a round of questions may take.
KEPT = 60.0


class Departures:
    """Each is forgotten after a while."""

    def __init__(self) -> None:
        #: Where to, and since when; who has left first comes first.
        self._left: dict[str, tuple[Location, float]] = {}
        self._timer = Timer()

    def add(self, connection: str, to: Location) -> None:
        """It has left for another hub."""
        self._left.pop(connection, None)
        self._left[connection] = to, monotonic()
        if not self._timer.active:
            self._timer.set(KEPT, self._sweep)

    def find(self, connection: str) -> Location | None:
        """Where it went; None: it has not just left."""
        found = self._left.get(connection)
        return None if found is None else found[0]

    def _sweep(self) -> None:
        self._timer.stop()
        now = monotonic()
        for connection, (_, since) in [*self._left.items()]:
            if since + KEPT > now:
                self._timer.set(since + KEPT - now, self._sweep)
                break
            del self._left[connection]

    def close(self) -> None:
        self._timer.stop()
        self._left.clear()

    def __len__(self) -> int:
        return len(self._left)

    def __repr__(self) -> str:
        return f"<Departures {len(self)}>"
