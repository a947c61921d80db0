"""Who could not move, and is told to go with the hub that is ended: counted, and the first ones by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actorrpc.broker.processes.hub_process import HubProcess
from actorrpc.loop.duties import brief

__all__ = ["NAMED", "LeftBehind"]

#: Of all hubs together, so many are named.
NAMED = 10


@dataclass(frozen=True)
class LeftBehind:
    """``first``: of the first, the id and why it could not move. ``others``: of those that have no name here,
    as far as that is known, how many each reason keeps."""

    count: int = 0
    first: Sequence[tuple[str, str]] = ()
    others: Sequence[tuple[str, int]] = ()

    @classmethod
    def of(cls, processes: Sequence[HubProcess]) -> LeftBehind:
        """By what processes have said last: of one that said nothing when it stopped, that is its report."""
        count = 0
        first: list[tuple[str, str]] = []
        others: Counter[str] = Counter()
        for process in processes:
            words = process.last_words
            if words is not None and words.HasField("left_behind"):
                count += words.left_behind.count
                first += [(stay.connection, brief(stay.why)) for stay in words.left_behind.first]
            else:
                count += process.load.connections
                others.update({brief(why): number for why, number in process.load.draining.stays.items()})
        return cls(count, first[:NAMED], others.most_common())

    def row(self) -> dict[str, Any]:
        """What ``actorrpc status --json`` has of it."""
        return {"count": self.count, "first": [{"id": id, "why": why} for id, why in self.first]}

    def __str__(self) -> str:
        named = [f"{id} ({why})" for id, why in self.first]
        named += [f"{count}: {why}" for why, count in self.others]
        more = self.count - len(self.first) - sum(count for _, count in self.others)
        return ", ".join(named) + f" and {more} more" * (more > 0)
