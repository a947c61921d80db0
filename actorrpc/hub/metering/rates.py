"""Messages a second by topic, smoothed, for a bounded number of topics with names of bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2s
from math import exp

__all__ = ["Rates", "counted_as"]

#: The time constant of the counts, in seconds.
_CONSTANT = 10.0

#: Names longer than this are counted under their first so many characters, and a digest of so many bytes.
_LONGEST, _BEGINNING, _DIGEST = 64, 32, 16


def counted_as(topic: str) -> str:
    """The name under which a topic is counted and reported, in all hubs: its own, unless that is long.

    Clients may choose names, and of megabytes. What is made of a long one is longer than any that stays as
    it is, so that no other topic's name can be equal to it.
    """
    if len(topic) <= _LONGEST:
        return topic
    digest = blake2s(topic.encode(errors="surrogatepass"), digest_size=_DIGEST)
    return f"{topic[:_BEGINNING]}…{digest.hexdigest()}"


@dataclass(slots=True, eq=False, repr=False)
class Rates:
    """Counts that fade. The caller says what time it is, in seconds.

    Topics are given as ``counted_as`` names them. Beyond ``most`` of them the quieter half is forgotten.
    """

    _most: int
    #: By topic: a count that has faded, and until when.
    _counts: dict[str, tuple[float, float]] = field(default_factory=dict)

    def count(self, topic: str, now: float) -> None:
        """Count a message."""
        before, at = self._counts.get(topic, (0.0, now))
        self._counts[topic] = (before * exp((at - now) / _CONSTANT) + 1, now)
        if len(self._counts) > self._most:
            self._forget(now)

    def rate(self, topic: str, now: float) -> float:
        """Messages a second."""
        count, at = self._counts.get(topic, (0.0, now))
        return count * exp((at - now) / _CONSTANT) / _CONSTANT

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def _forget(self, now: float) -> None:
        loudest = sorted(self._counts, key=lambda topic: self.rate(topic, now), reverse=True)
        self._counts = {topic: self._counts[topic] for topic in loudest[: self._most // 2]}

    def __repr__(self) -> str:
        return f"<Rates of {len(self._counts)} topics>"
