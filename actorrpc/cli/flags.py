"""Flags that commands share: one for each setting, where the broker is, and whether JSON is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

from actorrpc.config import settings
from actorrpc.settings import Setting

__all__ = ["NUMBER", "json_flag", "runtime_dir_flag", "setting_flags"]

Command = TypeVar("Command", bound=Callable[..., Any])

#: What a number must be to fit into a question to the broker.
NUMBER = click.IntRange(min=0, max=2**32 - 1)

runtime_dir_flag = click.option(
    "--runtime-dir",
    metavar="DIR",
    help="Where the broker and this command find each other.  "
    "[default: $XDG_RUNTIME_DIR/actorrpc or /tmp/actorrpc-UID]",
)
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def setting_flags(command: Command) -> Command:
    """Give a command a flag for each setting."""
    for setting in reversed(settings()):
        command = _flag(setting)(command)
    return command


def _flag(setting: Setting) -> Callable[[Command], Command]:
    flag = f"--{setting.name.replace('_', '-')}"
    return click.option(
        f"{flag}/--no-{flag[2:]}" if setting.default is True else flag,
        type=_type(setting),
        is_flag=isinstance(setting.default, bool),
        metavar=setting.unit.upper() or None,
        default=setting.default,
        show_default=True,
        help=setting.help,
    )


def _type(setting: Setting) -> Any:
    if setting.choices:
        return click.Choice(setting.choices)
    if isinstance(setting.default, bool):
        return bool
    return _seconds if isinstance(setting.default, float) else click.IntRange(setting.least, setting.most)


def _seconds(value: str) -> float:
    """Read a time. Raises click.BadParameter for what float() takes and no timer does."""
    try:
        read = float(value)
    except ValueError:
        read = math.nan
    if not (math.isfinite(read) and read >= 0):
        raise click.BadParameter(f"{value!r} is not a number of seconds")
    return read
