"""How long clients have been in a listening socket's queue. Pure: it is told the time."""

from __future__ import annotations

from collections import deque

__all__ = ["QueueAge"]


class QueueAge:
    """One queue, looked at from time to time while nobody is accepted from it. Times are seconds.

    The kernel tells a queue's length, but not its members' ages. But a queue is first in, first out: whoever
    was last at a look has left once as many have been taken as were in it then.
    """

    def __init__(self) -> None:
        #: Taken from the queue since the first look.
        self._taken = 0
        #: The looks that found more than the one before: when, and how many had come by then in all.
        self._looks: deque[tuple[float, int]] = deque()
        self._come = 0

    def look(self, now: float, length: int) -> None:
        """The queue has ``length`` members now."""
        # Fewer than there should be: another process also accepts from the queue, the oldest first.
        self._taken += max(0, self._come - self._taken - length)
        come = self._taken + length
        if come > self._come or not self._looks:
            self._looks.append((now, come))
        self._come = come

    def take(self) -> None:
        """The oldest has been taken out."""
        self._taken += 1
        self._come = max(self._come, self._taken)
        while self._looks and self._looks[0][1] <= self._taken:
            self._looks.popleft()

    def overdue(self, now: float, patience: float) -> int:
        """How many have been there for at least ``patience`` seconds, as far as has been seen."""
        come = 0
        for seen, count in self._looks:
            if seen > now - patience:
                break
            come = count
        return max(0, come - self._taken)

    def waited(self, now: float) -> float:
        """For how long at least the oldest has been there; 0 if that is not known."""
        return next((now - seen for seen, come in self._looks if come > self._taken), 0.0)
