"""Where connections are, as far as the broker has heard, so that it need not ask every hub for each move."""

from __future__ import annotations

from actorrpc.pb import control_pb2

__all__ = ["Places"]

#: How many connections that have moved are remembered. The broker is not told when one is closed. Those that
#: moved longest ago are forgotten; if one of them is asked for, all hubs are.
KEPT = 16_384


class Places:
    """Only guesses: a hub that is asked because of one may answer that it has no such connection."""

    def __init__(self) -> None:
        #: Connections that are not on the hub that accepted them, which their ids name.
        self._moved: dict[str, int] = {}

    def record(self, moved: control_pb2.Moved) -> None:
        """Note where a connection has gone."""
        if moved.aborted:
            return
        self._moved.pop(moved.connection, None)
        if moved.target == _accepted_by(moved.connection):
            return
        self._moved[moved.connection] = moved.target
        if len(self._moved) > KEPT:
            del self._moved[next(iter(self._moved))]

    def forget(self, connection: str) -> None:
        """No hub has it."""
        self._moved.pop(connection, None)

    def guess(self, connection: str) -> int | None:
        """The serial of the process that most likely has it; None if it is not the id of a connection."""
        return self._moved.get(connection, _accepted_by(connection))

    def __repr__(self) -> str:
        return f"<Places of {len(self._moved)} connections that have moved>"


def _accepted_by(connection: str) -> int | None:
    """The serial of the process that accepted it."""
    serial = connection.partition("-")[2].partition("-")[0]
    return int(serial) if len(serial) < 10 and serial.isascii() and serial.isdigit() else None
