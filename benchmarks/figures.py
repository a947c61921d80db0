"""Figures with goals: what a run of handoff.py has found, as a table, as JSON and as a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

__all__ = ["Figure", "document", "met", "table"]


@dataclass
class Figure:
    """Something measured once in each round."""

    #: For programs; and for people.
    key: str
    title: str
    unit: str
    #: What it should be at most, or at least; None: it is only shown.
    goal: float | None = None
    at_least: bool = False
    rounds: list[float] = field(default_factory=list)
    #: The same of what nothing happened to, in the same units; none where there is no such thing.
    beside: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached; None if there is none, or nothing was measured."""
        if self.goal is None or not self.rounds:
            return None
        return self.median >= self.goal if self.at_least else self.median <= self.goal


def met(figures: Iterable[Figure]) -> bool | None:
    """Whether all goals are reached; None if there was none to reach."""
    found = [figure.met for figure in figures if figure.met is not None]
    return all(found) if found else None


def table(figures: Sequence[Figure], beside: str = "unmoved") -> str:
    """A line for each figure. ``beside`` heads the column of what nothing happened to."""
    rows = [("", "median (lowest–highest)", beside, "goal", "")]
    for figure in figures:
        same = _number(median(figure.beside)) if figure.beside else ""
        rows.append((figure.title, _spread(figure), same, _goal(figure), _OUTCOMES[figure.met]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def document(figures: Iterable[Figure], beside: str = "unmoved") -> list[dict[str, Any]]:
    """For JSON. ``beside`` names what nothing happened to."""
    return [
        {
            "name": figure.key,
            "unit": figure.unit,
            "goal": figure.goal,
            "goal_is": None if figure.goal is None else "least" if figure.at_least else "most",
            "met": figure.met,
            "median": figure.median,
            "rounds": figure.rounds,
            beside: median(figure.beside) if figure.beside else None,
        }
        for figure in figures
    ]


_OUTCOMES = {True: "met", False: "MISSED", None: ""}


def _spread(figure: Figure) -> str:
    numbers = _number(figure.median), _number(min(figure.rounds)), _number(max(figure.rounds))
    return "{:>8}  ({}–{}) ".format(*numbers) + figure.unit


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {_number(figure.goal)}"


def _number(value: float) -> str:
    """Three digits that say something; whole numbers from a hundred on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
