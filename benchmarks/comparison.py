"""What a run of unary.py has found, as a table for people, as JSON for programs, and as a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.accounting import TICK
from benchmarks.loads import Load
from benchmarks.processes import Cores

__all__ = ["GOAL", "RIVALS", "Comparison", "Result"]

#: What actorrpc may cost, as a share of the better of its rivals.
GOAL = 1 / 5
RIVALS = ("grpcio", "grpcio.aio")


@dataclass
class Result:
    """One server under one load."""

    server: str
    load: Load
    #: Seconds of server CPU per call, one figure for each round.
    rounds: list[float] = field(default_factory=list)
    #: Calls in all rounds, without those that warmed up.
    calls: int = 0
    #: How much of ``rounds`` the kernel used.
    kernel: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.rounds)


@dataclass
class Comparison:
    """All servers under all loads."""

    cores: Cores
    least_cpu: float
    #: By server and load.
    results: dict[tuple[str, str], Result]
    #: The share of calls with another grpc-timeout than the call before; None if no load has deadlines.
    timeout_changes: float | None = None

    def ratio(self, result: Result) -> float | None:
        """Its cost as a share of the better rival's; None unless all were measured, above a clock tick."""
        rivals = [self.results.get((name, result.load.name)) for name in RIVALS]
        medians = [rival.median for rival in rivals if rival is not None and rival.median > 0]
        return result.median / min(medians) if len(medians) == len(RIVALS) else None

    @property
    def met(self) -> bool | None:
        """Whether actorrpc reached the goal under each load; None if that was not measured."""
        ratios = [self.ratio(result) for result in self.results.values() if result.server == "actorrpc"]
        if not ratios or None in ratios:
            return None
        return all(ratio is not None and ratio <= GOAL for ratio in ratios)

    def verdict(self) -> str:
        if self.met is None:
            return f"No verdict: it takes actorrpc, {' and '.join(RIVALS)}."
        outcome = "met" if self.met else "MISSED"
        return f"Goal, at most {GOAL:g} of the better grpcio under each load: {outcome}."

    def table(self) -> str:
        """A line for each server and load, with what one has to know to read it."""
        rows = [("load", "server", "µs per call", "of it the kernel's", "of the better grpcio")]
        for result in self.results.values():
            ratio = self.ratio(result)
            share = "" if ratio is None else f"{ratio:.3f}"
            kernel = f"{median(result.kernel) * 1e6:5.1f}"
            rows.append((result.load.title, result.server, _microseconds(result), kernel, share))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        rounds = len(next(iter(self.results.values())).rounds)
        title = f"Server CPU per unary call: median (lowest–highest) of {rounds} round{'s' * (rounds > 1)}"
        lines.insert(0, f"{title}; {self.cores}.")
        lines.append(
            f"Clock tick {TICK * 1e3:g} ms; at least {self.least_cpu:g} s of server CPU in each measurement."
        )
        if self.timeout_changes is not None:
            changes = f"{self.timeout_changes:.0%} of calls had another grpc-timeout than the call before"
            lines.append(f"On one connection {changes}.")
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """For JSON. Times are in seconds."""
        return {
            "cores": {"server": self.cores.server, "client": self.cores.client},
            "tick": TICK,
            "least_cpu": self.least_cpu,
            "timeout_changes": self.timeout_changes,
            "goal": GOAL,
            "met": self.met,
            "results": [self._entry(result) for result in self.results.values()],
        }

    def _entry(self, result: Result) -> dict[str, Any]:
        return {
            "server": result.server,
            "load": result.load.name,
            "connections": result.load.connections,
            "in_flight": result.load.in_flight,
            "deadlines": result.load.deadlines,
            "calls": result.calls,
            "cpu_per_call": {
                "median": result.median,
                "lowest": min(result.rounds),
                "highest": max(result.rounds),
                "rounds": result.rounds,
            },
            "kernel_per_call": {"median": median(result.kernel), "rounds": result.kernel},
            "ratio": self.ratio(result),
        }


def _microseconds(result: Result) -> str:
    lowest, highest = min(result.rounds) * 1e6, max(result.rounds) * 1e6
    return f"{result.median * 1e6:5.1f}  ({lowest:.1f}–{highest:.1f})"
