"""What must have come of calls, and what actors must know: the reference of the model."""

from __future__ import annotations

from collections import defaultdict

__all__ = ["Fault", "History"]

Name = tuple[str, str]


class Fault(AssertionError):
    """A rule does not hold."""


class History:
    """What has happened, as somebody sees it who sees all hubs at once."""

    def __init__(self) -> None:
        #: What the actor of a key must know: the calls that have run since it was activated. Where the hub of
        #: an actor dies while that moves, either may be so.
        self._known: defaultdict[str, list[list[str]]] = defaultdict(lambda: [[]])
        self._run: set[str] = set()
        #: The keys of which a turn runs.
        self._inside: dict[str, int] = {}

    def begins(self, key: str, hub: int) -> None:
        """A turn begins."""
        if key in self._inside:
            raise Fault(f"turns of {key!r} overlap: on hub {hub} and on hub {self._inside[key]}")
        self._inside[key] = hub

    def ends(self, key: str, hub: int) -> None:
        if self._inside.get(key) == hub:
            del self._inside[key]

    def check(self, key: str, notes: list[str]) -> None:
        """An actor of the key has this state."""
        if notes not in self._known[key]:
            raise Fault(f"the actor of {key!r} knows {notes}, and must know {self._known[key]}")
        self._known[key] = [[*notes]]

    def runs(self, key: str, call: str) -> None:
        """A call runs, and its actor is to know it."""
        if call in self._run:
            raise Fault(f"{call} runs twice")
        self._run.add(call)
        self._known[key][0].append(call)

    def has_run(self, call: str) -> bool:
        return call in self._run

    def activated(self, key: str) -> None:
        """A new actor is made of a key."""
        if [] not in self._known[key]:
            raise Fault(f"the actor of {key!r} has been lost: it knew {self._known[key]}")
        self._known[key] = [[]]

    def passivated(self, key: str, notes: list[str]) -> None:
        self.check(key, notes)
        self._known[key] = [[]]

    def died(self, hub: int, keys: set[str]) -> None:
        """A hub has died, and actors with it; but those that had just moved."""
        self._inside = {key: where for key, where in self._inside.items() if where != hub}
        for key in keys:
            if [] not in self._known[key]:
                self._known[key].append([])
