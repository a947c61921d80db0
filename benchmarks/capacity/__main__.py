"""How many skewed clients hubs hold at an equal p99, with moving and without.

    python -m benchmarks.capacity real simulated

``real``       two hubs and clients that do not wait for answers, on this machine
``simulated``  16 hubs that do not exist

A probe at each hub tells how long a call waits there. Their worst p99 is taken with a tenth of the clients
that would fill the cores, then with more and more, until it is twice as long. README.md says more.

Exit status: 0 if `steady` holds at least as many as `none`, 1 if not, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file

from benchmarks import figures
from benchmarks.capacity import real, simulated
from benchmarks.capacity.search import search
from benchmarks.figures import Figure
from benchmarks.processes import BenchmarkError, allow_descriptors, end_on_sigterm
from benchmarks.rounds import progress

_PARTS = ("real", "simulated")
_POLICIES = ("none", "count", "steady")
#: What is judged, beside what, and how many times its clients it must hold at least.
_JUDGED, _BESIDE, _LEAST = "steady", "none", 1.0

#: The p99 may be so many times as long as with a tenth of the clients.
_TIMES = 2.0
#: How often the interval between enough and too many is halved. By chance alone a real p99 of a few seconds
#: is a tenth off, so that more would not tell more.
_REAL_HALVINGS, _SIMULATED_HALVINGS = 2, 4
#: The seeds of rounds. The policy's numbers were chosen with others.
_SEEDS = 6001

#: Open files of the client that are not connections.
_OTHER_DESCRIPTORS = 100


class Part:
    """Real or simulated, with the figures of all rounds. ``measure`` takes a policy, clients and a seed.

    ``nominal`` is the number of clients that would fill the cores.
    """

    def __init__(
        self,
        name: str,
        policies: Sequence[str],
        nominal: int,
        halvings: int,
        measure: Callable[[str, int, int], float],
    ) -> None:
        self._name = name
        self._policies = policies
        self._nominal = nominal
        self._first = max(1, round(nominal / 10))
        self._halvings = halvings
        self._measure = measure
        self._by_title: dict[str, Figure] = {}

    @property
    def figures(self) -> list[Figure]:
        return list(self._by_title.values())

    def round(self, number: int) -> None:
        """Find what each policy holds, in an order that rotates from round to round."""
        by, seed = number % len(self._policies), _SEEDS + number
        order = [*self._policies[by:], *self._policies[:by]]
        first = {policy: self._p99(policy, self._first, seed) for policy in order}
        # One limit for all, or their numbers would not be those at an equal p99.
        usual = median(first.values())
        held = {policy: self._search(policy, first[policy], _TIMES * usual, seed) for policy in order}
        self.note(f"p99 with {self._first} clients of the {self._nominal} that fill the cores", "ms", usual)
        for policy in self._policies:
            self.note(f"{policy}: clients held at twice that p99", "", held[policy])
        for policy in self._policies:
            if policy != _BESIDE and _BESIDE in held:
                goal = _LEAST if policy == _JUDGED else None
                self.note(f"{policy}: clients, of {_BESIDE}", "×", held[policy] / held[_BESIDE], goal)

    def note(self, title: str, unit: str, value: float, at_least: float | None = None) -> None:
        title = f"{self._name}: {title}"
        if title not in self._by_title:
            self._by_title[title] = Figure(title, title, unit, at_least, at_least=True)
        self._by_title[title].rounds.append(value)
        progress(f"{title}: {value:.4g} {unit}")

    def _search(self, policy: str, first: float, limit: float, seed: int) -> float:
        def p99(clients: int) -> float:
            return self._p99(policy, clients, seed)

        return search(p99, self._first, self._nominal, first, limit, self._halvings)

    def _p99(self, policy: str, clients: int, seed: int) -> float:
        found = self._measure(policy, clients, seed)
        progress(f"{self._name}, seed {seed}, {policy}: {clients} clients: p99 {found:.2f} ms")
        return found


class Real(Part):
    """Says also what the machine had to do with it, at its worst."""

    def __init__(self, policies: Sequence[str], setting: real.Setting) -> None:
        self._setting = setting
        self._late: list[float] = []
        self._waited: list[float] = []
        nominal = setting.hubs * setting.per_core
        super().__init__("real", policies, nominal, _REAL_HALVINGS, self._on_hubs)

    def round(self, number: int) -> None:
        super().round(number)
        self.note("how late clients were to call, p99 of the worst run", "ms", max(self._late))
        self.note("how long a hub waited for its core, worst run", "% of the time", max(self._waited) * 100)
        self._late.clear()
        self._waited.clear()

    def _on_hubs(self, policy: str, clients: int, seed: int) -> float:
        allow_descriptors(clients + self._setting.hubs + _OTHER_DESCRIPTORS)
        found = real.measure(self._setting, policy, clients, seed)
        self._late.append(found.late)
        self._waited.append(found.waited)
        progress(
            f"late by {found.late:.2f} ms, a hub waited for its core for {found.waited:.1%} of the time:"
        )
        return found.probe


class Simulated(Part):
    def __init__(self, policies: Sequence[str], setting: simulated.Setting) -> None:
        def measure(policy: str, clients: int, seed: int) -> float:
            return simulated.measure(setting, policy, clients, seed)

        nominal = setting.hubs * setting.per_core
        super().__init__("simulated", policies, nominal, _SIMULATED_HALVINGS, measure)


def _measure(options: argparse.Namespace) -> list[Figure]:
    found: list[Figure] = []
    policies = [policy for policy in _POLICIES if policy in (options.policy or _POLICIES)]
    if "real" in options.parts:
        setting = real.Setting(options.hubs, options.per_core, options.settle, options.seconds)
        found += _rounds(Real(policies, setting), options.rounds)
    if "simulated" in options.parts:
        imagined = simulated.Setting(
            options.simulated_hubs, options.simulated_per_core, options.simulated_minutes
        )
        found += _rounds(Simulated(policies, imagined), options.seeds)
    return found


def _rounds(part: Part, rounds: int) -> Sequence[Figure]:
    for number in range(rounds):
        part.round(number)
    return part.figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="How many skewed clients hubs hold at an equal p99, with moving and without.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("parts", nargs="*", choices=[[], *_PARTS], help="both unless given")
    add("--policy", action="append", choices=_POLICIES, help="only this; repeat it for more")
    add("--rounds", type=int, default=3, metavar="N", help="real: seeds, 6001 and the next ones")
    add("--hubs", type=int, default=2, metavar="N", help="real: each on a core if there are as many")
    add("--per-core", type=int, default=64, metavar="N", help="real: clients that would fill a core")
    add("--settle", type=float, default=4.0, metavar="S", help="real: how long a policy has before it counts")
    add("--seconds", type=float, default=7.0, metavar="S", help="real: how long is measured then")
    add("--seeds", type=int, default=9, metavar="N", help="simulated: seeds, 6001 and the next ones")
    add("--simulated-hubs", type=int, default=16, metavar="N", help="simulated: hubs")
    add("--simulated-per-core", type=int, default=128, metavar="N", help="simulated: as --per-core")
    add("--simulated-minutes", type=float, default=10.0, metavar="M", help="simulated: after the first one")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    if min(options.hubs, options.simulated_hubs) < 2 or min(options.rounds, options.seeds) < 1:
        parser.error("it takes two hubs and a round")
    if min(options.per_core, options.simulated_per_core) < 1 or options.settle < 0:
        parser.error("it takes a client for each core, and no time before the beginning")
    if min(options.seconds, options.simulated_minutes) <= 0:
        parser.error("it takes some time")
    options.parts = options.parts or _PARTS
    return options


def main() -> int:
    options = _options()
    end_on_sigterm()
    try:
        found = _measure(options)
    except BenchmarkError as error:
        print(f"capacity: {error}", file=sys.stderr)
        return 2
    reached = figures.met(found)
    if options.json:
        document: dict[str, Any] = {"met": reached, "results": figures.document(found)}
        print(json.dumps(document, indent=2))
    else:
        outcome = {True: "met", False: "MISSED", None: "not measured"}[reached]
        print(figures.table(found), f"All goals: {outcome}.", sep="\n")
    return 1 if reached is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
