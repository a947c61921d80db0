"""What is said of a setting, once.

A dataclass whose fields are settings declares them: ``setting`` and ``optional`` make such a field, and
``Setting`` is what it says.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from actorrpc.errors import ConfigError

__all__ = ["Setting", "optional", "setting"]

T = TypeVar("T", bool, int, float, str, tuple[str, ...])

#: What a whole number may be at most, unless its setting says more: some go into frames of HTTP/2.
_MOST = 2**32 - 1


@dataclass(frozen=True)
class Setting:
    """A setting. A float is a time in seconds, a tuple any number of texts."""

    name: str
    kind: type
    #: None: what ``unset`` says.
    default: bool | int | float | str | tuple[str, ...] | None
    #: For people: what it bounds, and what becomes of what is beyond it.
    help: str
    #: ``bytes``, ``seconds`` or ``microseconds``; empty where it is a plain number, or not one.
    unit: str = ""
    least: int = 0
    #: None: no limit.
    most: int | None = None
    #: What it may be, where it is a word.
    choices: tuple[str, ...] = ()
    #: In a command's help, what its value is.
    metavar: str = ""
    #: For people: what it is where it is given nowhere, if ``default`` is None, or empty.
    unset: str = ""
    #: It cannot change while a server lives.
    fixed: bool = False
    #: A file may tell it.
    in_file: bool = True
    #: Raises ValueError, which says what to write, for a text that it, or one of its texts, cannot be.
    fits: Callable[[str], object] | None = None

    def check(self, value: Any, called: str = "") -> None:
        """Raise ConfigError for a value of its kind that it cannot have. ``called``: what it is named
        there."""
        name = called or self.name
        if self.kind is bool or (value is None and self.default is None):
            return
        if self.kind is str:
            self._check_text(value, name)
        elif self.kind is tuple:
            for each in value:
                self._check_text(each, name)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{name} must be a number of seconds, not {value}")
        elif value < 0:
            raise ConfigError(f"{name} must not be negative: {value}")
        elif value < self.least or (self.most is not None and value > self.most):
            raise ConfigError(f"{name} must be from {self.least:,} to {self.most:,}: {value}")

    def _check_text(self, value: str, name: str) -> None:
        if self.choices and value not in self.choices:
            *others, last = self.choices
            raise ConfigError(f"{name} must be {', '.join(others)} or {last}, not {value!r}")
        if self.fits is not None:
            try:
                self.fits(value)
            except ValueError as error:
                raise ConfigError(f"{name} cannot be {value!r}: {error}") from error


def setting(default: T, help: str, **said: Any) -> T:
    """Declare a field of a dataclass as a setting: ``Setting`` says what the arguments are."""
    if type(default) is int:
        said["most"] = said.get("most") or _MOST
    elif type(default) is float:
        said["unit"] = "seconds"
    told = {"kind": type(default), "default": default, "help": help, **said}
    return field(default=default, metadata=told)


def optional(kind: type[T], help: str, unset: str, **said: Any) -> T | None:
    """As ``setting``, where it may be given nowhere."""
    if kind is int:
        said["most"] = said.get("most") or _MOST
    return field(default=None, metadata={"kind": kind, "default": None, "help": help, "unset": unset, **said})
