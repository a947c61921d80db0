"""Where connections are, as far as the broker has heard, so that it need not ask every hub for each move."""

from __future__ import annotations

from actorrpc.pb import control_pb2

__all__ = ["Whereabouts"]

#: Connections away from home that are remembered. Nobody says when one is closed; those heard of longest ago
#: are forgotten, and looked for on all hubs.
KEPT = 16_384


class Whereabouts:
    """A guess, and no more: a hub that is asked because of it may answer that it has no such connection."""

    def __init__(self) -> None:
        #: Only those that are not where they were accepted, which their ids tell.
        self._away: dict[str, int] = {}

    def record(self, moved: control_pb2.Moved) -> None:
        """Note where a connection has gone."""
        if moved.aborted:
            return
        self._away.pop(moved.connection, None)
        if moved.target == _home(moved.connection):
            return
        self._away[moved.connection] = moved.target
        if len(self._away) > KEPT:
            del self._away[next(iter(self._away))]

    def forget(self, connection: str) -> None:
        """No hub has it."""
        self._away.pop(connection, None)

    def guess(self, connection: str) -> int | None:
        """The hub that most likely has it; None if it is not the id of a connection."""
        return self._away.get(connection, _home(connection))

    def __repr__(self) -> str:
        return f"<Whereabouts of {len(self._away)} connections away from home>"


def _home(connection: str) -> int | None:
    """The hub that accepted it."""
    hub = connection.partition("-")[0]
    return int(hub) if len(hub) < 10 and hub.isascii() and hub.isdigit() else None
