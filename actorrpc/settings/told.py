"""What all settings are, out of what is told in several places: the command line comes before the
environment, that before the file, and that before the defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from actorrpc.settings.setting import Setting
from actorrpc.settings.sources import File, of_environment, of_file, variable

__all__ = ["Options", "Origin", "resolve"]


class Origin(Enum):
    """Where a setting was told."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True)
class Options:
    """What each setting is, and where that was told, by the settings' names."""

    settings: tuple[Setting, ...]
    values: Mapping[str, Any]
    origins: Mapping[str, Origin]
    #: The file's path; empty: there is none.
    file: str

    def changed(self, later: Options) -> tuple[str, ...]:
        """The settings that have another value later."""
        return tuple(each.name for each in self.settings if self.values[each.name] != later.values[each.name])

    def fixed_changes(self, later: Options) -> tuple[str, ...]:
        """Those of them that cannot change while a server lives."""
        fixed = {each.name for each in self.settings if each.fixed}
        return tuple(name for name in self.changed(later) if name in fixed)

    def told_by(self, name: str) -> str:
        """Where a setting was told, for people: ``--bind``, ``ACTORRPC_BIND``, ``server.toml: bind``."""
        return {
            Origin.COMMAND_LINE: f"--{name.replace('_', '-')}",
            Origin.ENVIRONMENT: variable(name),
            Origin.FILE: f"{self.file}: {name}",
            Origin.DEFAULT: f"the default of {name}",
        }[self.origins[name]]


def resolve(
    settings: Iterable[Setting], given: Mapping[str, Any], environment: Mapping[str, str], file: File | None
) -> Options:
    """What the settings are. ``given`` are the values of those that stand on the command line, which has
    checked them.

    Raises ConfigError, with one line that names file or variable, and key.
    """
    settings = tuple(settings)
    told = {
        Origin.DEFAULT: {each.name: each.default for each in settings},
        Origin.FILE: of_file(settings, file) if file else {},
        Origin.ENVIRONMENT: of_environment(settings, environment),
        Origin.COMMAND_LINE: given,
    }
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for origin, found in told.items():
        values |= found
        origins |= dict.fromkeys(found, origin)
    return Options(settings, values, origins, file.path if file else "")
