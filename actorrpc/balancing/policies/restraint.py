"""What holds a policy back: a budget of moves, rests, and pairs of hubs between which moves have failed."""

from __future__ import annotations

from actorrpc.balancing.view import Past

__all__ = ["Backoff", "Budget", "Rest"]


class Budget:
    """How many moves may be begun: so many a second, and no more at once."""

    def __init__(self) -> None:
        self.left = 0.0
        self._at: float | None = None

    def refill(self, now: float, rate: float) -> None:
        passed = 1.0 if self._at is None else now - self._at
        self.left = min(rate, self.left + passed * rate)
        self._at = now


class Rest:
    """Times without moves, each twice as long as the last. After as long without a new one, they begin small
    again."""

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
        """Whether a rest has ended since the last question."""
        if self._until is None or now < self._until:
            return False
        self._until, self._ended = None, now
        return True


class Backoff:
    """Pairs of hubs between which the last move was aborted: for a time, doubled with each one in a row."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._pairs: dict[tuple[int, int], tuple[float, float]] = {}

    def learn(self, past: Past) -> None:
        """Take in how a move has ended. A failure that is due to its connection says nothing of the pair."""
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
