"""Loading what users name as ``package.module:attribute``: an app, or a policy.

What does not import is told in one line: what was raised, where, and what makes it good.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import traceback
from collections import deque
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from actorrpc.errors import ConfigError

__all__ = ["explain", "failure", "load_attribute"]

#: How many places are named, from the one where it was raised outward.
_PLACES = 3

#: What is looked through for a .proto below the working directory, the nearest folders first.
_MAX_ENTRIES = 5_000
_OTHERS = {"node_modules", "site-packages", "__pycache__"}

_OWN = os.path.dirname(os.path.abspath(__file__))
_STANDARD = os.path.dirname(os.__file__)


def load_attribute(what: str, path: str) -> Any:
    """Return what is at ``package.module:attribute``, imported with the working directory on ``sys.path``.

    Raises ConfigError, with one line that says what failed and where, for whatever goes wrong, and with the
    traceback if code of the user's has run. ``what`` says what it is in that line, such as ``app``.
    """
    name, colon, attribute = path.partition(":")
    if not (name and colon and attribute):
        raise ConfigError(f"{what} {path!r}: give it as package.module:attribute")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ConfigError as error:
        raise ConfigError(f"{what} {path!r}: {error}") from error
    except Exception as error:  # whatever the user's module does
        why = _module_of_file(name, attribute) or explain(error)
        raise ConfigError(f"{what} {path!r} does not import: {why}", _trace(error)) from error
    return found


def failure(what: str, error: Exception | SystemExit) -> ConfigError:
    """What is raised in place of what the user's code has raised: one line, which ``what`` begins, and the
    traceback."""
    return ConfigError(f"{what} {explain(error)}", _trace(error))


def _trace(error: Exception | SystemExit) -> str:
    """The traceback, from the first place on that is not the import's own machinery; "" if there is none."""
    trace = error.__traceback__
    while trace is not None and not _is_written(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None and not isinstance(error, SyntaxError):
        return ""
    return "".join(traceback.format_exception(type(error), error, trace))


def _module_of_file(name: str, attribute: str) -> str:
    """What to say to somebody who has given a file where a module is wanted; empty if it is not one."""
    stem = name.removesuffix(".py")
    module = os.path.relpath(stem).replace(os.sep, ".")
    if name == module or module.startswith(".") or not os.path.isfile(f"{stem}.py"):
        return ""
    return f"a module is wanted, not a file: try {module}:{attribute}"


def explain(error: Exception | SystemExit) -> str:
    """What an import raised and where in the user's own code, such as ``NameError: name 'x' is not defined
    (chat.py, line 12; imported from main.py, line 3)``.

    For a module that is to be generated it names the command, if its .proto is found.
    """
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = f"{type(error).__name__}: {text}"
    if places := list(_places(error))[:_PLACES]:
        said += f" ({'; '.join(places)})"
    elif isinstance(error, ModuleNotFoundError):
        said += f" (in the working directory, {os.getcwd()}, and where Python looks)"
    if command := _generating(error):
        said += f": `{command}` makes it"
    return said


def _places(error: Exception | SystemExit) -> Iterator[str]:
    """Where it was raised, and who called or imported that."""
    how = ""
    here = os.getcwd() + os.sep
    for file, line, function in _own_frames(error):
        inside = "" if function == "<module>" else f", in {function}"
        yield f"{how}{file.removeprefix(here)}, line {line}{inside}"
        how = "called from " if inside else "imported from "


def _own_frames(error: Exception | SystemExit) -> list[tuple[str, int, str]]:
    """File, line and function in the user's code, or, of an app that is installed, in any package; the
    innermost first."""
    raised = traceback.walk_tb(error.__traceback__)
    frames = [(frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in raised]
    frames = [each for each in frames if _is_written(each[0])]
    own = [each for each in frames if not _is_library(each[0])] or frames
    if isinstance(error, SyntaxError) and error.filename:
        own.append((error.filename, error.lineno or 0, "<module>"))
    return own[::-1]


def _is_written(file: str) -> bool:
    """Whether it is a file, and none of the import's own machinery."""
    own = file.startswith(_OWN + os.sep) or os.path.dirname(file) == os.path.join(_STANDARD, "importlib")
    return not (file.startswith("<") or own)


def _is_library(file: str) -> bool:
    return file.startswith(_STANDARD + os.sep) or bool(
        {"site-packages", "dist-packages"}.intersection(file.split(os.sep))
    )


# ---- modules that are to be generated


def _generating(error: Exception | SystemExit) -> str:
    """The command that makes what is missing; empty if it is not a generated module, or no .proto is here."""
    match = re.fullmatch(r"(.+?)(?:_pb2|_actorrpc)", _missing(error))
    if match is None:
        return ""
    wanted = match[1].split(".")
    for folder, proto in _protos(wanted):
        out = folder if os.path.abspath(folder) in {os.path.abspath(each) for each in sys.path} else "."
        return shlex.join(["python", "-m", "actorrpc.protoc", "-I", folder, "--out", out, proto])
    return ""


def _missing(error: Exception | SystemExit) -> str:
    """The full name of the module that is not there; empty if it is something else."""
    if isinstance(error, ModuleNotFoundError):
        return error.name or ""
    if isinstance(error, ImportError):
        # `from package import module`
        match = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error))
        if match:
            return f"{match[2]}.{match[1]}"
    return ""


def _protos(wanted: list[str]) -> Iterator[tuple[str, str]]:
    """The .proto files that would become a module: the folder to be found in, and the place there."""
    depth = len(wanted)
    for parts in _below("."):
        if _is_of(parts, wanted):
            yield os.path.join(*parts[:-depth]) if parts[:-depth] else ".", "/".join(parts[-depth:])
    for root in dict.fromkeys(sys.path):
        parts = (*wanted[:-1], f"{wanted[-1]}.proto")
        if root and not _is_library(os.path.join(root, "")) and os.path.isfile(os.path.join(root, *parts)):
            yield root, "/".join(parts)


def _below(root: str) -> Iterator[tuple[str, ...]]:
    """The .proto files below a folder, the nearest first, by their parts."""
    folders: deque[tuple[str, ...]] = deque([()])
    seen = 0
    while folders and seen < _MAX_ENTRIES:
        parts = folders.popleft()
        try:
            entries = sorted(os.scandir(os.path.join(root, *parts)), key=lambda entry: entry.name)
        except OSError:
            continue
        seen += len(entries)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _OTHERS:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append((*parts, entry.name))
            elif entry.name.endswith(".proto"):
                yield (*parts, entry.name)


def _is_of(proto: tuple[str, ...], wanted: list[str]) -> bool:
    """Whether protoc makes the module ``wanted`` of a file, given the right folder (see codegen's names)."""
    names = [part.replace("-", "_") for part in (*proto[:-1], proto[-1].removesuffix(".proto"))]
    return names[-len(wanted) :] == wanted
