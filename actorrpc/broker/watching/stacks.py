"""What `actorrpc stacks` is told: what all greenlets of a hub do, or what holds it, if it does not answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from actorrpc.broker.watching.dumps import Place
from actorrpc.broker.watching.holders import describe
from actorrpc.broker.watching.process import Watched
from actorrpc.pb import control_pb2
from actorrpc.pb.control_pb2 import Stack

__all__ = ["merged", "stacks"]

#: How long a hub may take to say what some of its greenlets do, and all.
PAGE, ALL = 2.0, 30.0
#: So many connections are named of those for which the same is done.
EXAMPLES = 10

_KINDS = {Stack.GREENLET: "greenlet", Stack.THREAD: "thread"}


def stacks(process: Watched) -> tuple[dict[str, Any], list[str]]:
    """The form of ``actorrpc stacks --json``, and what it leaves out, as lines for a person."""
    pages: list[control_pb2.Stacks] = []
    complete = False
    for page in _pages(process):
        pages.append(page)
        complete = not page.more
    warnings = []
    rows = merged(pages)
    if not pages:
        why, places = describe(process)
        rows = [_row("thread", "", places) | {"count": 1}] if places else []
        warnings = [f"hub {process.hub} does not answer: {why}"]
    elif not complete:
        warnings = [f"hub {process.hub} has not answered to the end; some of its greenlets are not shown"]
    return {"hub": process.hub, "pid": process.pid, "answers": bool(pages), "stacks": rows}, warnings


def _pages(process: Watched) -> Iterator[control_pb2.Stacks]:
    """What it says of its greenlets, some at a time, until it has told all, or does not answer."""
    after, until = 0, time.monotonic() + ALL
    while time.monotonic() < until:
        question = control_pb2.ToHub(list_stacks=control_pb2.ListStacks(after=after))
        answer = process.ask(question).wait(timeout=PAGE)  # None if it takes longer
        if not isinstance(answer, control_pb2.Stacks):
            return
        yield answer
        if not (after := answer.more):
            return


def merged(pages: list[control_pb2.Stacks]) -> list[dict[str, Any]]:
    """The stacks of all pages, each once, those of the most greenlets first."""
    found: dict[Any, dict[str, Any]] = {}
    for stack in (stack for page in pages for stack in page.stacks):
        frames = [Place(frame.file, frame.line, frame.function) for frame in stack.frames]
        row = found.setdefault(
            (stack.kind, stack.runs, *frames), _row(_KINDS.get(stack.kind, ""), stack.runs, frames)
        )
        row["count"] += stack.count
        new = [each for each in stack.connections if each not in row["connections"]]
        row["connections"] += new[: EXAMPLES - len(row["connections"])]
    return sorted(found.values(), key=lambda row: (row["kind"], -row["count"]))


def _row(kind: str, runs: str, frames: list[Place]) -> dict[str, Any]:
    places = [place._asdict() for place in frames]
    return {"kind": kind, "count": 0, "runs": runs, "connections": [], "frames": places}
