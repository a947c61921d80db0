"""Where connections are, as far as the broker has heard, so that it need not ask every hub for each move."""

from __future__ import annotations

from time import monotonic

from actorrpc.pb import control_pb2

__all__ = ["Places"]

#: How many connections that have moved are remembered. The broker is not told when one is closed. Those that
#: moved longest ago are forgotten; if one of them is asked for, all hubs are.
KEPT = 16_384

#: For so many seconds after a move its target may not have read yet that the connection is its own.
ARRIVAL = 10.0
#: So long ago a move is when its target has read of it as soon as it has answered any question.
LATELY = 2.0


class Places:
    """Only guesses: a hub that is asked because of one may answer that it has no such connection."""

    def __init__(self) -> None:
        #: Connections that are not on the hub that accepted them, which their ids name.
        self._moved: dict[str, int] = {}
        #: When those that may still arrive have left, the first first.
        self._left: dict[str, float] = {}

    def record(self, moved: control_pb2.Moved) -> None:
        """Note where a connection has gone."""
        if moved.aborted:
            return
        self._note_departure(moved.connection, monotonic())
        self._moved.pop(moved.connection, None)
        if moved.target == _accepted_by(moved.connection):
            return
        self._moved[moved.connection] = moved.target
        if len(self._moved) > KEPT:
            del self._moved[next(iter(self._moved))]

    def _note_departure(self, connection: str, now: float) -> None:
        while self._left and now - self._left[oldest := next(iter(self._left))] > ARRIVAL:
            del self._left[oldest]
        self._left.pop(connection, None)
        self._left[connection] = now

    def is_arriving(self, connection: str) -> bool:
        """Whether it has moved so lately that the hub which has it may not know."""
        return monotonic() - self._left.get(connection, float("-inf")) < ARRIVAL

    def lately(self) -> dict[str, int]:
        """Those that have moved within the last ``LATELY`` seconds, and the serials of the processes that
        have them."""
        since = monotonic() - LATELY
        found: dict[str, int] = {}
        for connection, left in reversed(self._left.items()):
            if left < since:
                break
            if (serial := self.guess(connection)) is not None:
                found[connection] = serial
        return found

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
