"""The options of ``actorrpc serve``: the settings of ``Config``, and those of the server as a whole.

``Sources`` has what decides them, and can be read again: a file may have changed since.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from actorrpc.balancing.policies import DEFAULT, NAMES
from actorrpc.config import Config, settings
from actorrpc.errors import ConfigError
from actorrpc.net.addresses import parse_bind
from actorrpc.settings import Options, Setting, optional, read_file, resolve, setting
from actorrpc.settings.sources import variable

__all__ = [
    "ACCEPT_MODES",
    "Serving",
    "Sources",
    "config_of",
    "config_read_again",
    "serve_settings",
    "serving_of",
]

#: What ``--accept`` may be.
ACCEPT_MODES = ("reuseport", "acceptor")


def _policy_fits(name: str) -> None:
    if ":" not in name and name not in NAMES:
        raise ValueError(f"choose {', '.join(NAMES)}, or name your own as package.module:Class")


def _mode_fits(text: str) -> None:
    if not re.fullmatch("0?[0-7]{3}", text):
        raise ValueError("write three octal digits, such as 660")


@dataclass(frozen=True)
class Serving:
    """What ``actorrpc serve`` is told beside a ``Config``."""

    # fmt: off
    config: str | None = optional(str,
        "A TOML file with options, by their names with underscores.", "no file", metavar="FILE",
        in_file=False)
    bind: tuple[str, ...] = setting((),
        "Where to listen: HOST:PORT, [IPv6]:PORT, unix:PATH or unix-abstract:NAME. May be given several "
        "times.",
        metavar="ADDRESS", unset="127.0.0.1:50051 unless there is a --tls-bind, or systemd's sockets",
        fixed=True, fits=parse_bind)
    tls_bind: tuple[str, ...] = setting((),
        "Where to listen for clients that speak TLS, as --bind says where others are listened for. It needs "
        "--tls-cert and --tls-key.",
        metavar="ADDRESS", unset="nowhere", fixed=True, fits=parse_bind)
    unix_mode: str | None = optional(str,
        "Permissions of the files of unix sockets, in octal: 660.", "as the umask says", metavar="MODE",
        fixed=True, fits=_mode_fits)
    hubs: int | None = optional(int, "How many hub processes.", "usable cores", least=1)
    accept: str | None = optional(str,
        "Who accepts: all hubs, as the kernel shares connections out; or one, which gives each "
        "connection to the least loaded hub.", "reuseport; acceptor with systemd's sockets",
        choices=ACCEPT_MODES, fixed=True)
    policy: str = setting(DEFAULT,
        f"What decides which connections move: {', '.join(NAMES)}, or package.module:Class.",
        metavar="NAME", fits=_policy_fits)
    record: str | None = optional(str,
        "Write what it decides by, for `actorrpc simulate --replay`.", "nothing", metavar="FILE")
    reload: bool = setting(False,
        "For development: reload when a Python file below the working directory changes.")
    takeover: bool = setting(False,
        "Take the hubs over from the broker that lives in the runtime directory, which ends. From one that "
        "has died they are taken over without this.")
    runtime_dir: str | None = optional(str,
        "Where the broker and the other commands find each other.",
        "$XDG_RUNTIME_DIR/actorrpc or /tmp/actorrpc-UID", metavar="DIR", fixed=True)
    # fmt: on

    @property
    def mode(self) -> int | None:
        """``unix_mode`` as a number. Raises ConfigError if it is none."""
        if self.unix_mode is None:
            return None
        try:
            _mode_fits(self.unix_mode)
        except ValueError as error:
            raise ConfigError(f"unix_mode cannot be {self.unix_mode!r}: {error}") from error
        return int(self.unix_mode, 8)


@cache
def serve_settings() -> tuple[Setting, ...]:
    """All options, in order."""
    return tuple(Setting(each.name, **each.metadata) for each in fields(Serving)) + settings()


@dataclass(frozen=True)
class Sources:
    """What decides the options: the values that stand on the command line, the environment, and the file
    that one of them names."""

    given: Mapping[str, Any]
    environment: Mapping[str, str]

    def read(self) -> Options:
        """Read the file, if there is one, and put everything together. Raises ConfigError."""
        path = self.given.get("config") or self.environment.get(variable("config"))
        return resolve(serve_settings(), self.given, self.environment, read_file(path) if path else None)


def config_read_again(before: Options, later: Options) -> Config:
    """The settings of hubs, as they are told now. Raises ConfigError, which names it, if anything else has
    changed: a reload changes what hubs do, and not the server around them."""
    around = {each.name for each in fields(Serving)}
    if changed := [later.told_by(name) for name in before.changed(later) if name in around]:
        raise ConfigError(f"{', '.join(changed)} cannot be changed by a reload")
    return config_of(later)


def config_of(options: Options) -> Config:
    """Those options that are settings of hubs."""
    return Config(**{each.name: options.values[each.name] for each in settings()})


def serving_of(options: Options) -> Serving:
    """The others."""
    return Serving(**{each.name: options.values[each.name] for each in fields(Serving)})
