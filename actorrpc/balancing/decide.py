"""Asks a policy, which decides, and checks the answer. Pure, so that `actorrpc simulate` does the same.

A policy is the user's code. Nothing that it raises gets any further, nor any decision that is not valid: the
caller gets plain copies of the valid ones, with texts that can be shown, and what is wrong with the others.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass, field
from itertools import islice
from operator import index

from actorrpc.balancing.eligible import takes
from actorrpc.balancing.view import Move, Policy, Stay, View

__all__ = ["MOST", "MOVES_AT_ONCE", "Decisions", "PolicyFailed", "decide"]

#: Moves under way together; what a policy asks for beyond that, it may ask for again.
MOVES_AT_ONCE = 64
#: How many decisions of one plan are looked at: far more than can be under way.
MOST = 1000
#: Characters of a text that are kept. Ids of connections are much shorter, reasons somewhat.
_LONGEST_TEXT = 300


class PolicyFailed(Exception):
    """Its text continues a sentence that begins with "policy NAME"."""


@dataclass
class Decisions:
    """The valid part of a plan."""

    moves: list[Move] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    #: What was wrong, and the first decision with that fault.
    faults: dict[str, str] = field(default_factory=dict)


def decide(policy: Policy, view: View, under_way: Container[str]) -> Decisions:
    """Ask the policy. ``under_way`` are connections that move already. Raises PolicyFailed, nothing else."""
    try:
        planned = list(islice(policy.plan(view), MOST + 1))
    except BaseException as error:  # also SystemExit, which would end the process
        raise PolicyFailed(f"raised {_described(error)}") from error
    found = Decisions()
    if len(planned) > MOST:
        found.faults[f"decides more than {MOST} things at once; the rest is left out"] = ""
    decided: set[str] = set()
    for each in planned[:MOST]:
        try:
            valid = _read(each)
            if isinstance(valid, Move):
                _check(valid, view, under_way, decided)
                decided.add(valid.connection)
                found.moves.append(valid)
            else:
                found.stays.append(valid)
        except _Invalid as error:
            found.faults.setdefault(str(error), _described(each))
    return found


class _Invalid(Exception):
    """A decision that cannot be carried out, and why."""


def _read(decision: object) -> Move | Stay:
    """A copy with fields of the right types."""
    if isinstance(decision, Stay):
        return Stay(_text(decision.what), _text(decision.reason))
    if not isinstance(decision, Move):
        raise _Invalid("it is neither a Move nor a Stay")
    try:
        source, target, load = index(decision.source), index(decision.target), float(decision.load)
    except Exception as error:
        raise _Invalid("source and target must be whole numbers, and load a number") from error
    load = load if math.isfinite(load) else 0.0
    return Move(_text(decision.connection), source, target, _text(decision.reason), load)


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise _Invalid("connection, what and reason must be strings")
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _check(move: Move, view: View, under_way: Container[str], decided: Container[str]) -> None:
    """Raise _Invalid for a move that no policy may ask for."""
    if move.source == move.target:
        raise _Invalid("source and target are one hub")
    for hub in (move.source, move.target):
        if hub not in view.loads:
            raise _Invalid(f"there is no hub {hub}")
    if not takes(view.loads[move.target]):
        raise _Invalid(f"hub {move.target} is full, silent or about to go")
    if move.connection in under_way or move.connection in decided:
        raise _Invalid("the connection is being moved already")


def _described(thing: object) -> str:
    """Describe anything in a few words."""
    try:
        text = f"{type(thing).__name__}: {thing}" if isinstance(thing, BaseException) else repr(thing)
    except BaseException:  # raised by its __repr__ or __str__
        text = type(thing).__name__
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
