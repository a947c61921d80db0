"""The path of the interpreter that runs hubs, as it was given: a link in it, to the newest virtual
environment, say, is followed anew by each generation."""

from __future__ import annotations

import os
import sys

__all__ = ["given_interpreter", "where_it_leads"]


def given_interpreter(directory: str) -> str:
    """This process's interpreter. ``directory``: the working directory as it was given.

    What Python tells has lost the links: it is the first line of a command such as
    ``current/venv/bin/actorrpc``, where the environment has the name that it was made with; and a path that
    begins in the working directory is told from where that leads to.
    """
    paths = [path for path in (_below(directory), _beside_the_command(directory)) if path]
    linked = (path for path in paths if path != where_it_leads(path))
    return next(linked, paths[0] if paths else sys.executable)


def where_it_leads(interpreter: str) -> str:
    """The same in the folder that its path leads to now. The last link is kept: by its path an interpreter
    knows its virtual environment."""
    folder, name = os.path.split(interpreter)
    return os.path.join(os.path.realpath(folder), name)


def _name() -> str:
    """What it is called in any environment: the next one may be of another version."""
    return "python" if sys.prefix != sys.base_prefix else os.path.basename(sys.executable)


def _beside_the_command(directory: str) -> str:
    """The path by way of the command that was typed, if that is in the same folder."""
    folder = os.path.join(directory, os.path.dirname(sys.argv[0]))
    if sys.argv[0] and _same(folder, os.path.dirname(sys.executable)):
        return os.path.normpath(os.path.join(folder, _name()))
    return ""


def _below(directory: str) -> str:
    """The path by way of the working directory, if it is below that."""
    relative = os.path.relpath(where_it_leads(sys.executable), os.path.realpath(directory))
    if relative.startswith(os.pardir):
        return ""
    return os.path.join(directory, os.path.dirname(relative), _name())


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
