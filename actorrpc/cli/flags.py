"""Flags that commands share: one for each setting, where the broker is, and whether JSON is wanted; and what
of them was typed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from actorrpc.serve_options import serve_settings
from actorrpc.settings import Setting
from actorrpc.settings.sources import variable

__all__ = ["NUMBER", "json_flag", "runtime_dir_flag", "setting_flags", "typed"]

Command = TypeVar("Command", bound=Callable[..., Any])

#: What a number must be to fit into a question to the broker.
NUMBER = click.IntRange(min=0, max=2**32 - 1)

json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def setting_flags(command: Command) -> Command:
    """Give a command a flag for each setting."""
    for setting in reversed(serve_settings()):
        command = _flag(setting)(command)
    return command


def typed(context: click.Context) -> dict[str, Any]:
    """The settings that stand on the command line, and not only have a default, by name."""
    return {
        each.name: context.params[each.name]
        for each in serve_settings()
        if context.get_parameter_source(each.name) is ParameterSource.COMMANDLINE
    }


def _flag(setting: Setting, **more: Any) -> Callable[[Command], Command]:
    flag = f"--{setting.name.replace('_', '-')}"
    return click.option(
        f"{flag}/--no-{flag[2:]}" if setting.default is True else flag,
        type=_type(setting),
        is_flag=setting.kind is bool,
        multiple=setting.kind is tuple,
        metavar=setting.metavar or setting.unit.upper() or None,
        default=setting.default,
        show_default=setting.unset or True,
        help=setting.help,
        **more,
    )


def _type(setting: Setting) -> Any:
    if setting.choices:
        return click.Choice(setting.choices)
    if setting.kind is float:
        return _seconds
    if setting.kind is tuple:
        return str
    return click.IntRange(setting.least, setting.most) if setting.kind is int else setting.kind


def _seconds(value: str) -> float:
    """Read a time. Raises click.BadParameter for what float() takes and no timer does."""
    try:
        read = float(value)
    except ValueError:
        read = math.nan
    if not (math.isfinite(read) and read >= 0):
        raise click.BadParameter(f"{value!r} is not a number of seconds")
    return read


_RUNTIME_DIR = next(each for each in serve_settings() if each.name == "runtime_dir")

#: Of the other commands, which ask no file; they are to find a server that was told by its environment.
runtime_dir_flag = _flag(_RUNTIME_DIR, envvar=variable("runtime_dir"))
