"""What a policy decides, as far as it can be carried out. Pure, so that `actorrpc simulate` does the same.

A policy is the user's code. What it raises ends here, and so does whatever it returns that is not a sound
decision: its owner gets plain copies with texts that can be shown, and is told what is wrong with the rest.
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
#: Decisions of one plan that are looked at: far more than can be under way.
MOST = 1000
#: Characters of a text that are kept. Ids of connections are much shorter, reasons somewhat.
_LONGEST_TEXT = 300


class PolicyFailed(Exception):
    """Its text goes on where "policy NAME" begins."""


@dataclass
class Decisions:
    """What is left of a plan."""

    moves: list[Move] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    #: What was wrong, and the first decision of which that is true.
    faults: dict[str, str] = field(default_factory=dict)


def decide(policy: Policy, view: View, under_way: Container[str]) -> Decisions:
    """Ask the policy. ``under_way`` are connections that move already. Raises PolicyFailed, nothing else."""
    try:
        planned = list(islice(policy.plan(view), MOST + 1))
    except BaseException as error:  # also SystemExit, which would end the owner
        raise PolicyFailed(f"raised {_described(error)}") from error
    found = Decisions()
    if len(planned) > MOST:
        found.faults[f"decides more than {MOST} things at once; the rest is left out"] = ""
    decided: set[str] = set()
    for each in planned[:MOST]:
        try:
            sound = _read(each)
            if isinstance(sound, Move):
                _check(sound, view, under_way, decided)
                decided.add(sound.connection)
                found.moves.append(sound)
            else:
                found.stays.append(sound)
        except _Unsound as error:
            found.faults.setdefault(str(error), _described(each))
    return found


class _Unsound(Exception):
    """A decision that cannot be carried out, and why."""


def _read(decision: object) -> Move | Stay:
    """A copy with fields of the right types."""
    if isinstance(decision, Stay):
        return Stay(_text(decision.what), _text(decision.reason))
    if not isinstance(decision, Move):
        raise _Unsound("it is neither a Move nor a Stay")
    try:
        source, target, load = index(decision.source), index(decision.target), float(decision.load)
    except Exception as error:
        raise _Unsound("source and target must be whole numbers, and load a number") from error
    load = load if math.isfinite(load) else 0.0
    return Move(_text(decision.connection), source, target, _text(decision.reason), load)


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise _Unsound("connection, what and reason must be strings")
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()


def _check(move: Move, view: View, under_way: Container[str], decided: Container[str]) -> None:
    """What no policy may do."""
    if move.source == move.target:
        raise _Unsound("source and target are one hub")
    for hub in (move.source, move.target):
        if hub not in view.loads:
            raise _Unsound(f"there is no hub {hub}")
    if not takes(view.loads[move.target]):
        raise _Unsound(f"hub {move.target} is full, silent or about to go")
    if move.connection in under_way or move.connection in decided:
        raise _Unsound("the connection is being moved already")


def _described(thing: object) -> str:
    """Describe anything in a few words."""
    try:
        text = f"{type(thing).__name__}: {thing}" if isinstance(thing, BaseException) else repr(thing)
    except BaseException:  # its own code
        text = type(thing).__name__
    return text[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
