"""What a balancing policy is worth on real hubs, beside none and beside the best placement that is known.

    python -m benchmarks.rebalancing heavy shifting blocking

``heavy``      all heavy clients are on one hub: how near the policy comes, after 3 s, to half of them on each
``shifting``   the load changes sides every few seconds: the policy should do no harm
``blocking``   one client holds its hub for 50 ms with each call: what becomes of the others there
``accepting``  heavy clients stay where the kernel's hash or an acceptor put them, or are moved
``caps``       the same with a hub's connections capped, so that a full hub passes new ones on

grpcio clients make calls of a few milliseconds of CPU, one at a time on each connection; throughput and
latency are what they have seen. In each round all placements are measured, in an order that rotates.
README.md says more.

Exit status: 0 if each goal is met, 1 if one is missed, 2 if something could not be measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.policy_hubs import Called, Workload, policy_hubs
from benchmarks.processes import BenchmarkError, end_on_sigterm
from benchmarks.rounds import progress

#: What a call takes of a hub's CPU. A grpcio client takes 0.3 ms for it, from the same cores.
_MICROSECONDS = 4000
#: Heavy connections for each hub.
_HEAVY = 8
#: The policy must have done its work by then.
_SETTLED = 3.0

_NEAR_STATIC, _NO_HARM = 0.85, 0.98


_QUESTIONS = ("heavy", "shifting", "blocking", "accepting", "caps")


class Variant(NamedTuple):
    """A policy, and where connections are when the clients begin."""

    name: str
    policy: str
    place: Callable[[str, int], int | None]
    #: More options of servers/actorrpc_hubs.py.
    options: Sequence[str] = ()


class Question:
    """Something that is asked of a policy, with the figures of all rounds."""

    def __init__(self, name: str, workload: Workload, variants: Sequence[Variant], since: float) -> None:
        self.name = name
        self.variants = variants
        self._workload = workload
        self._since = since
        self.figures: list[Figure] = []
        #: By variant, of the last round: the connections of the hub that had most at first, over the mean.
        self.skew: dict[str, float] = {}
        self._by_key: dict[str, Figure] = {}

    def round(self, number: int, hubs: int) -> None:
        """Measure all variants, in an order that rotates from round to round."""
        found = {}
        by = number % len(self.variants)
        for variant in [*self.variants[by:], *self.variants[:by]]:
            with policy_hubs(variant.policy, hubs, *variant.options) as running:
                found[variant.name] = running.run(self._workload, variant.place)
                self.skew[variant.name] = running.skew
                moves = [row for row in running.broker.moves() if row["by"] == variant.policy]
            done = sum(row["outcome"] == "moved" for row in moves)
            self._note(f"{variant.name}: moves of the policy", "", done)
        self._compare(found)

    def _compare(self, found: dict[str, Called]) -> None:
        raise NotImplementedError

    def _rate(self, called: Called) -> float:
        return called.since(self._since).per_second(self._workload.seconds - self._since)

    def _p99(self, called: Called) -> float:
        return called.since(self._since).latency(99) * 1e3

    def _note(
        self, title: str, unit: str, value: float, goal: float | None = None, *, at_least: bool = False
    ) -> None:
        key = f"{self.name}: {title}"
        if key not in self._by_key:
            self._by_key[key] = Figure(key, key, unit, goal, at_least)
            self.figures.append(self._by_key[key])
        self._by_key[key].rounds.append(value)
        progress(f"round {len(self._by_key[key].rounds)}: {key}: {value:.4g} {unit}")


class Heavy(Question):
    """All heavy clients on hub 0, against as many on each hub."""

    def __init__(self, policy: str, hubs: int, seconds: float) -> None:
        group = {"name": "heavy", "connections": _HEAVY * hubs, "microseconds": _MICROSECONDS}
        variants = [
            Variant("none", "none", lambda group, number: 0),
            Variant("static", "none", lambda group, number: number % hubs),
            Variant(policy, policy, lambda group, number: 0),
        ]
        super().__init__("heavy", Workload([group], _SETTLED + seconds), variants, _SETTLED)

    def _compare(self, found: dict[str, Called]) -> None:
        for name, called in found.items():
            self._note(f"{name}: calls after {_SETTLED:.0f} s", "/s", self._rate(called))
            self._note(f"{name}: p99", "ms", self._p99(called))
        none, static, policy = (found[variant.name] for variant in self.variants)
        name = self.variants[2].name
        share = self._rate(policy) / self._rate(static)
        self._note(f"{name}: calls, of static", "×", share, _NEAR_STATIC, at_least=True)
        self._note(f"{name}: p99, of static", "×", self._p99(policy) / self._p99(static), 1.15)
        self._note(f"{name}: calls, of none", "×", self._rate(policy) / self._rate(none))


class Shifting(Question):
    """Two groups, each on a hub of its own, work in turn."""

    def __init__(self, policy: str, hubs: int, seconds: float, period: float) -> None:
        groups = [
            {
                "name": str(phase), "connections": _HEAVY, "microseconds": _MICROSECONDS,
                "period": period, "phase": phase,
            }
            for phase in (0, 1)
        ]  # fmt: skip

        def place(group: str, number: int) -> int:
            return int(group) % hubs

        variants = [Variant("none", "none", place), Variant(policy, policy, place)]
        super().__init__(f"shifting every {period:g} s", Workload(groups, seconds), variants, 0.0)

    def _compare(self, found: dict[str, Called]) -> None:
        for name, called in found.items():
            self._note(f"{name}: calls", "/s", self._rate(called))
            self._note(f"{name}: p99", "ms", self._p99(called))
        none, policy = (self._rate(found[variant.name]) for variant in self.variants)
        title = f"{self.variants[1].name}: calls, of none"
        self._note(title, "×", policy / none, _NO_HARM, at_least=True)


class Blocking(Question):
    """One client whose calls hold hub 0 for 50 ms, and light ones on all hubs."""

    def __init__(self, policy: str, hubs: int, seconds: float) -> None:
        blocking = {"name": "blocking", "connections": 1, "microseconds": 100, "held": 50_000}
        light = {"name": "light", "connections": 8 * hubs, "microseconds": 500, "think": 0.05}

        def anywhere(group: str, number: int) -> int:
            return 0 if group == "blocking" else number % hubs

        def apart(group: str, number: int) -> int:
            return 0 if group == "blocking" else 1 + number % (hubs - 1)

        variants = [
            Variant("none", "none", anywhere),
            Variant("static", "none", apart),
            Variant(policy, policy, anywhere),
        ]
        super().__init__("blocking", Workload([blocking, light], _SETTLED + seconds), variants, _SETTLED)

    def _compare(self, found: dict[str, Called]) -> None:
        for name, called in found.items():
            light = called.of("light")
            self._note(f"{name}: calls of light clients", "/s", self._rate(light))
            self._note(f"{name}: their p99", "ms", self._p99(light))
            self._note(f"{name}: calls that block", "/s", self._rate(called.of("blocking")))


class Accepting(Question):
    """Heavy clients where they were accepted: some hub has more of them than another."""

    def __init__(self, name: str, variants: Sequence[Variant], hubs: int, seconds: float) -> None:
        group = {"name": "heavy", "connections": _HEAVY * hubs, "microseconds": _MICROSECONDS}
        super().__init__(name, Workload([group], _SETTLED + seconds), variants, _SETTLED)

    def _compare(self, found: dict[str, Called]) -> None:
        for name, called in found.items():
            self._note(f"{name}: calls after {_SETTLED:.0f} s", "/s", self._rate(called))
            self._note(f"{name}: p99", "ms", self._p99(called))
            self._note(f"{name}: clients of the fullest hub, of the mean", "×", self.skew[name])


def _as_accepted(group: str, number: int) -> None:
    """Where a connection stays."""


def _ways_of_accepting(policy: str) -> list[Variant]:
    return [
        Variant(f"{accept}, {each}", each, _as_accepted, [f"--accept={accept}"])
        for accept in ("reuseport", "acceptor")
        for each in ("none", policy)
    ]


def _capped() -> list[Variant]:
    return [
        Variant("no cap", "none", _as_accepted),
        Variant(f"{_HEAVY} a hub", "none", _as_accepted, [f"--max-connections={_HEAVY}"]),
    ]


def _questions(options: argparse.Namespace) -> list[Question]:
    made: dict[str, Callable[[], Question]] = {
        "heavy": lambda: Heavy(options.policy, options.hubs, options.seconds),
        "shifting": lambda: Shifting(options.policy, options.hubs, options.shifting, options.period),
        "blocking": lambda: Blocking(options.policy, options.hubs, options.seconds),
        "accepting": lambda: Accepting(
            "accepting", _ways_of_accepting(options.policy), options.hubs, options.seconds
        ),
        "caps": lambda: Accepting("caps", _capped(), options.hubs, options.seconds),
    }
    return [made[name]() for name in options.questions or made]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What a balancing policy is worth on real hubs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("questions", nargs="*", choices=[[], *_QUESTIONS], help="all unless given")
    add("--policy", default="steady", metavar="NAME", help="what is compared with none")
    add("--hubs", type=int, default=2, metavar="N", help="hubs, each on a core if there are as many")
    add("--rounds", type=int, default=3, metavar="N")
    add("--seconds", type=float, default=9.0, metavar="S", help="how long is measured, after the first 3 s")
    add("--shifting", type=float, default=60.0, metavar="S", help="how long the load shifts")
    add("--period", type=float, default=3.0, metavar="S", help="how often it does")
    add("--json", action="store_true", help="print JSON")
    add("--no-verdict", action="store_true", help="also end with status 0 if a goal is missed")
    options = parser.parse_args()
    if options.hubs < 2 or options.rounds < 1 or min(options.seconds, options.shifting, options.period) <= 0:
        parser.error("it takes two hubs, a round, and some time")
    return options


def main() -> int:
    options = _options()
    end_on_sigterm()
    questions = _questions(options)
    try:
        for number in range(options.rounds):
            for question in questions:
                question.round(number, options.hubs)
    except BenchmarkError as error:
        print(f"rebalancing: {error}", file=sys.stderr)
        return 2
    found = [figure for question in questions for figure in question.figures]
    if options.json:
        document: dict[str, Any] = {"met": figures.met(found), "results": figures.document(found)}
        print(json.dumps(document, indent=2))
    else:
        outcome = {True: "met", False: "MISSED", None: "not measured"}[figures.met(found)]
        print(f"{options.hubs} hubs, {options.rounds} rounds")
        print(figures.table(found), f"All goals: {outcome}.", sep="\n")
    return 1 if figures.met(found) is False and not options.no_verdict else 0


if __name__ == "__main__":
    sys.exit(main())
