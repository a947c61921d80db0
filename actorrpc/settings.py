"""What is said of a setting, once: flags, checks, messages and documents are made of it.

``actorrpc.config.Config`` is a dataclass whose fields are settings: ``setting`` declares one, and ``Setting``
is what it says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from actorrpc.errors import ConfigError

__all__ = ["Setting", "setting"]

T = TypeVar("T", bool, int, float, str)

#: What a whole number may be at most, unless its setting says more: some go into frames of HTTP/2.
_MOST = 2**32 - 1


@dataclass(frozen=True)
class Setting:
    """A setting. It is of its default's type; a float is a time in seconds."""

    name: str
    default: bool | int | float | str
    #: For people: what it bounds, and what becomes of what is beyond it.
    help: str
    #: ``bytes``, ``seconds`` or ``microseconds``; empty where it is a plain number, or not one.
    unit: str
    least: int
    #: None: no limit.
    most: int | None
    #: What it may be, where it is a word.
    choices: tuple[str, ...]

    def check(self, value: Any) -> None:
        """Raise ConfigError for a value that it cannot have."""
        if self.choices:
            if value not in self.choices:
                raise ConfigError(f"{self.name} must be {' or '.join(self.choices)}, not {value!r}")
        elif value < 0:
            raise ConfigError(f"{self.name} must not be negative: {value}")
        elif value < self.least or (self.most is not None and value > self.most):
            raise ConfigError(f"{self.name} must be from {self.least:,} to {self.most:,}: {value}")


def setting(
    default: T,
    help: str,
    *,
    unit: str = "",
    least: int = 0,
    most: int | None = None,
    choices: tuple[str, ...] = (),
) -> T:
    """Declare a field of a dataclass as a setting: ``Setting`` says what the arguments are."""
    if type(default) is int:
        most = most or _MOST
    elif type(default) is float:
        unit = "seconds"
    said = {"default": default, "help": help, "unit": unit, "least": least, "most": most, "choices": choices}
    return field(default=default, metadata=said)
