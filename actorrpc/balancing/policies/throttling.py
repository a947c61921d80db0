"""What limits moves: a budget, rests after harm, and a backoff between hubs where moves have failed."""

from __future__ import annotations

from actorrpc.balancing.view import Past

__all__ = ["Backoff", "Budget", "Rest"]


class Budget:
    """How many moves may begin: a token bucket that holds what one second brings."""

    def __init__(self) -> None:
        self.left = 0.0
        self._at: float | None = None

    def refill(self, now: float, rate: float) -> None:
        passed = 1.0 if self._at is None else now - self._at
        self.left = min(rate, self.left + passed * rate)
        self._at = now


class Rest:
    """Times without moves, each twice as long as the last.

    The next one is as short as the first if no rest was needed for longer than the last one lasted.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        #: Of the last rest; 0 before the first.
        self.length = 0.0
        self._until: float | None = None
        self._ended: float | None = None

    def begin(self, now: float) -> None:
        calm = self._ended is not None and now - self._ended > self.length
        self.length = self._first if calm or not self.length else min(self._longest, self.length * 2)
        self._until = now + self.length

    def resting(self, now: float) -> bool:
        return self._until is not None and now < self._until

    def over(self, now: float) -> bool:
        """Whether a rest has ended since this was last asked."""
        if self._until is None or now < self._until:
            return False
        self._until, self._ended = None, now
        return True


class Backoff:
    """Blocks moves between two hubs after one was aborted, for a time that doubles with each in a row."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._pairs: dict[tuple[int, int], tuple[float, float]] = {}

    def learn(self, past: Past) -> None:
        """Take in how a move has ended. A failure of its connection's says nothing about the two hubs."""
        if past.of_connection:
            return
        pair = past.move.source, past.move.target
        if not past.aborted:
            self._pairs.pop(pair, None)
            return
        ended = past.ended if past.ended is not None else past.began
        _, length = self._pairs.get(pair, (0.0, self._first / 2))
        length = min(self._longest, length * 2)
        self._pairs[pair] = ended + length, length

    def blocked(self, source: int, target: int, now: float) -> bool:
        return now < self._pairs.get((source, target), (now, 0.0))[0]
