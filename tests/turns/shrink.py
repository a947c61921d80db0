"""A program that shows a fault, made small: parts are left out as long as it still shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from .program import Program

__all__ = ["shrunk"]

#: Runs that one program is worth.
MOST_RUNS = 1000


def shrunk(program: Program, shows: Callable[[Program], bool]) -> Program:
    """The smallest that is found."""
    runs = 0
    again = True
    while again:
        again = False
        for smaller in _smaller(program):
            runs += 1
            if runs > MOST_RUNS:
                return program
            if shows(smaller):
                program, again = smaller, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """What is a little simpler than a program, the largest cuts first."""
    batches = program.batches
    size = len(batches) // 2
    while size:
        for at in range(0, len(batches), size):
            if rest := batches[:at] + batches[at + size :]:
                yield replace(program, batches=rest)
        size //= 2
    for at, batch in enumerate(batches):
        for one in range(len(batch)):
            if len(batch) > 1:
                cut = batch[:one] + batch[one + 1 :]
                yield replace(program, batches=(*batches[:at], cut, *batches[at + 1 :]))
    for field in fields(Program):
        default: Any = field.default
        value: Any = getattr(program, field.name)
        if field.name != "batches" and value != default:
            yield replace(program, **{field.name: default})
            if isinstance(value, tuple):
                each: Any
                for each in _without(value):
                    if each or field.name != "clients":
                        yield replace(program, **{field.name: each})
    for at, batch in enumerate(batches):
        for one, step in enumerate(batch):
            for simpler in _simpler(step):
                cut = (*batch[:one], simpler, *batch[one + 1 :])
                yield replace(program, batches=(*batches[:at], cut, *batches[at + 1 :]))


def _without(value: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for at in range(len(value)):
        yield value[:at] + value[at + 1 :]


def _simpler(step: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """A step with less in it."""
    if step[0] == "call":
        name, client, method, timeout, on_call, messages, end = step
        if timeout:
            yield name, client, method, 0, on_call, messages, end
        if on_call:
            yield name, client, method, timeout, (), messages, end
        for each in _messages(messages):
            if len(each) == len(messages) or method[2:].lstrip("X") in ("Up", "Talk"):
                yield name, client, method, timeout, on_call, each, end
        for each in _script(end) if end else ():
            yield name, client, method, timeout, on_call, messages, each
    elif step[0] == "say":
        for each in _messages(step[2]):
            yield *step[:2], each
    elif step[0] == "half":
        for each in _script(step[2]):
            yield *step[:2], each
    elif step[0] in ("release", "cancel", "grant") and step[1]:
        yield step[0], 0, *step[2:]


def _messages(messages: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield from _without(messages)
    for at, (count, on_request, script) in enumerate(messages):
        simpler: list[Any] = [(n, on_request, script) for n in (1, 2, count // 2) if 0 < n < count]
        if on_request:
            simpler.append((count, (), script))
        simpler += [(count, on_request, each) for each in _script(script)]
        for each in simpler:
            yield *messages[:at], each, *messages[at + 1 :]


def _script(script: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield from _without(script)
    for at, op in enumerate(script):
        for simpler in _ops(op):
            yield *script[:at], simpler, *script[at + 1 :]


def _ops(op: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if op[0] == "yield":
        name, count, size, cursor, between = op
        yield from ((name, n, size, cursor, between) for n in (1, 2, count // 2) if 0 < n < count)
        if size:
            yield name, count, 0, cursor, between
        if cursor:
            yield name, count, size, False, between
        if between:
            yield name, count, size, cursor, ()
    elif op[0] in ("send", "push"):
        name, count, size = op
        if count > 1:
            yield name, 1, size
        if size:
            yield name, count, 0
    elif op[0] == "pub" and op[2] > 1:
        yield *op[:2], 1
