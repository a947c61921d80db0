"""Which processes have been introduced to each other, and again when a link between two that live has broken.

Each introduction has a number, so that what a hub says of the end of a link is not taken for the end of the
next one. A hub cannot tell whether the process at the other end has died or only the link has: the broker
can. It waits for a moment before it makes a link anew, in which it hears of a death; and longer each time
that a link has broken soon.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf

from actorrpc.broker.processes.hub_process import QUICK, HubProcess
from actorrpc.broker.processes.hub_slot import restart_delay

__all__ = ["Introductions", "Pair"]

log = logging.getLogger("actorrpc.broker")

#: Two processes, by their serials.
Pair = frozenset[int]


@dataclass
class _Introduction:
    """The last one of two processes. ``made``: when, on the monotonic clock."""

    number: int = 0
    made: float = -inf
    #: How many in a row have failed, or led to a link that broke soon.
    failures: int = 0
    #: The next one is due.
    waiting: bool = False


class Introductions:
    """``introduce(one, other, number)`` gives two processes a link to each other, or raises OSError.
    ``later(seconds, event)`` has an event happen then."""

    def __init__(
        self,
        introduce: Callable[[HubProcess, HubProcess, int], None],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._introduce = introduce
        self._later = later
        self._pairs: dict[Pair, _Introduction] = {}
        #: By serial, what links a process has, as it has told this broker, which did not make them.
        self._reports: dict[int, Mapping[int, int]] = {}

    @property
    def numbers(self) -> dict[Pair, int]:
        """Those who have been introduced, and with which number last."""
        return {pair: each.number for pair, each in self._pairs.items() if each.number}

    def report(self, process: HubProcess, links: Mapping[int, int]) -> None:
        """A process that another broker has started says which links it has: by the other's serial, the
        number of the introduction."""
        self._reports[process.serial] = links

    def complete(self, processes: Sequence[HubProcess]) -> None:
        """Introduce those to each other who both say what links they have, and have none that is the same."""
        told = [each for each in processes if each.serial in self._reports]
        for one, other in combinations(told, 2):
            pair = frozenset({one.serial, other.serial})
            if pair in self._pairs:
                continue
            number = self._reports[one.serial].get(other.serial, 0)
            if number and number == self._reports[other.serial].get(one.serial):
                self._pairs[pair] = _Introduction(number)
            else:
                self.make(one, other)

    def make(self, one: HubProcess, other: HubProcess) -> bool:
        """Introduce two processes. Returns False if that cannot be done now: it is tried again."""
        found = self._of(one, other)
        found.number, found.made = secrets.randbelow(2**63 - 1) + 1, time.monotonic()
        try:
            self._introduce(one, other, found.number)
        except OSError as error:
            log.error("hubs %d and %d cannot be linked: %s", one.hub, other.hub, error)
            self._make_later(one, other)
            return False
        return True

    def broken(self, one: HubProcess, other: HubProcess, number: int) -> None:
        """One of two processes says that their link has ended which came with a number; 0: whichever they
        have. If both live, they get another."""
        found = self._of(one, other)
        is_old = bool(number and found.number) and number != found.number
        if not (is_old or found.waiting) and _are_wanted(one, other):
            self._make_later(one, other)

    def forget(self, serial: int) -> None:
        """A process has ended."""
        self._pairs = {pair: each for pair, each in self._pairs.items() if serial not in pair}
        self._reports.pop(serial, None)

    def _of(self, one: HubProcess, other: HubProcess) -> _Introduction:
        return self._pairs.setdefault(frozenset({one.serial, other.serial}), _Introduction())

    def _make_later(self, one: HubProcess, other: HubProcess) -> None:
        found = self._of(one, other)
        lasted = time.monotonic() - found.made >= QUICK
        found.failures = 1 if lasted else found.failures + 1
        found.waiting = True

        def again() -> None:
            if self._of(one, other) is found:  # else one of them has ended
                self._make_again(one, other, found)

        self._later(restart_delay(found.failures), again)

    def _make_again(self, one: HubProcess, other: HubProcess, found: _Introduction) -> None:
        found.waiting = False
        if _are_wanted(one, other) and self.make(one, other):
            log.warning("hubs %d and %d have a new link: they had lost the last one", one.hub, other.hub)

    def __repr__(self) -> str:
        waiting = sum(each.waiting for each in self._pairs.values())
        return f"<Introductions of {len(self._pairs)} pairs, {waiting} of them without a link>"


def _are_wanted(one: HubProcess, other: HubProcess) -> bool:
    """Whether two processes are to have a link: both live, and none is about to end, which closes its links
    a moment before."""
    return not any(each.stopping or each.exit_code is not None for each in (one, other))
