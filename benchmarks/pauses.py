"""Round trips of a ping-pong stream, and which of them its connection's moves fell in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

__all__ = ["Pauses", "RoundTrip", "pauses_of"]

#: Seconds from sending to the reply, and the process of the hub that replied.
RoundTrip = tuple[float, int]


@dataclass
class Pauses:
    """What moves cost the client of one stream. All in seconds."""

    #: For each move, how much longer than usual its round trip took.
    extra: list[float]
    #: The round trips without a move.
    unmoved: list[float]


def pauses_of(trips: Sequence[RoundTrip]) -> Pauses:
    """Tell round trips with a move from those without.

    A move falls in the round trip with the first reply from another hub: either the source held the ping
    back and it travelled, or it came while nobody read the socket; and a reply that the source has sent
    was not held up, since a turn's output is written before anything is frozen. Usual is the median of
    the others, of the same stream. Raises ValueError if there are no others.
    """
    if not trips:
        raise ValueError("no round trips")
    moved = [here[0] for before, here in pairwise(trips) if here[1] != before[1]]
    unmoved = [trips[0][0], *(here[0] for before, here in pairwise(trips) if here[1] == before[1])]
    usual = median(unmoved)
    return Pauses([seconds - usual for seconds in moved], unmoved)
