"""Where settings are told beside the command line: a TOML file, and the environment."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from actorrpc.errors import ConfigError
from actorrpc.settings.setting import Setting
from actorrpc.settings.values import from_file, from_text

__all__ = ["PREFIX", "File", "of_environment", "of_file", "read_file", "variable"]

#: What the names of our variables of the environment begin with.
PREFIX = "ACTORRPC_"

#: How like a name must be to a setting's to be taken for a misspelt one; 1 is equal.
_LIKE = 0.75

#: What Kubernetes sets in each container of a namespace for a service that is named like us.
_KUBERNETES = re.compile(r".*(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


@dataclass(frozen=True)
class File:
    """What a file says: its keys and their values, not checked yet."""

    path: str
    values: Mapping[str, Any]


def read_file(path: str) -> File:
    """Read a TOML file. Raises ConfigError, with one line that names it."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with open(path, "rb") as file:
            return File(path, tomllib.load(file))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # also what is not UTF-8
        raise ConfigError(f"{path}: this is not TOML: {error}") from error


def of_file(settings: Iterable[Setting], file: File) -> dict[str, Any]:
    """The settings that a file tells, by name. Raises ConfigError for a key that is none, or a value that is
    wrong."""
    known = {each.name: each for each in settings if each.in_file}
    told = {}
    for key, value in file.values.items():
        called = f"{file.path}: {key}"
        if key in known:
            told[key] = from_file(known[key], value, called)
        elif isinstance(value, dict):
            raise ConfigError(f"{file.path}: [{key}] is not known: all keys stand at the top, in no table")
        else:
            raise ConfigError(f"{called} is not known{_suggestion(key, known)}")
    return told


def variable(name: str) -> str:
    """The variable of the environment that tells a setting."""
    return PREFIX + name.upper()


def of_environment(settings: Iterable[Setting], environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment tells, by name; an empty variable tells nothing.

    Raises ConfigError for a value that is wrong, and for a name that is almost a setting's. Any other name
    is somebody else's.
    """
    known = {variable(each.name): each for each in settings}
    told = {}
    for name in sorted(environment):
        if not name.startswith(PREFIX) or not (text := environment[name]):
            continue
        if name in known:
            told[known[name].name] = from_text(known[name], text, name)
        elif not _KUBERNETES.fullmatch(name) and (near := _nearest(name, known)):
            raise ConfigError(f"{name} is not known: did you mean {near}?")
    return told


def _nearest(name: str, known: Iterable[str]) -> str:
    """Which of the variables a name is meant to be; empty: none."""
    bare = {each.removeprefix(PREFIX): each for each in known}
    found = get_close_matches(name.removeprefix(PREFIX), bare, 1, _LIKE)
    return bare[found[0]] if found else ""


def _suggestion(key: str, known: Collection[str]) -> str:
    found = get_close_matches(key.lower().replace("-", "_"), known, 1)
    return f": did you mean {found[0]}?" if found else ""
