"""Calls a second of each hub: hubs report how many have begun, and two answers have a rate between them."""

from __future__ import annotations

from collections import deque

from actorrpc.cli.top.picture import Picture

__all__ = ["OVER", "Rates"]

#: Hubs report four times a second: a rate over so many seconds is right but for a few percent.
OVER = 4.0


class Rates:
    """By the serials of processes: another process begins to count anew."""

    def __init__(self) -> None:
        self._seen: dict[int, deque[tuple[float, int]]] = {}

    def learn(self, picture: Picture) -> None:
        """Take an answer in."""
        seen = {}
        for hub in picture.hubs:
            if hub.serial is not None:
                known = seen[hub.serial] = self._seen.get(hub.serial, deque())
                known.append((picture.at, hub.calls))
                while len(known) > 2 and known[1][0] <= picture.at - OVER:
                    known.popleft()
        self._seen = seen

    def of(self, serial: int | None) -> float | None:
        """Calls a second; None: not known yet."""
        known = self._seen.get(serial) if serial is not None else None
        if not known or known[-1][0] <= known[0][0]:
            return None
        (first, before), (last, now) = known[0], known[-1]
        return max(now - before, 0) / (last - first)

    def total(self) -> float:
        """Of all hubs."""
        return sum(self.of(serial) or 0.0 for serial in self._seen)

    def __repr__(self) -> str:
        return f"<Rates of {len(self._seen)} processes>"
