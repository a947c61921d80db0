"""The log: what a line of it may hold, how many there may be, and how they are written without waiting.

Whatever is logged by one of ``LOGGERS`` passes two filters, in a hub, in a broker and in a program that
serves by itself: ``escaping.Escapes`` and ``limits.LIMITS``. So a call of ``log.error`` need not think of
what a client may have put into its arguments, nor of how often it may come. A filter of a logger does not see
what its children log, which is why each logger has them.

For whoever logs: ``about``. For whoever has a loop: ``tell_what_is_due`` and ``tell_what_was_left_out``. For
who starts a process, or a program that wants its log written as hubs do: ``log_to_stderr``, ``log_as_told``,
``log_otherwise``, ``outlive_configuration``, ``log_uncaught``; and for its own handlers ``Ids``,
``LineFormatter`` and ``JsonFormatter``.
"""

from __future__ import annotations

import logging
import sys
from functools import wraps
from typing import Any

from actorrpc.log.escaping import Escapes, LineFormatter, escape
from actorrpc.log.ids import Ids, find_ids_by, of_hub
from actorrpc.log.json_lines import JsonFormatter
from actorrpc.log.limits import LIMITS, about, about_hub, tell_what_is_due, tell_what_was_left_out

__all__ = [
    "LOGGERS",
    "Ids",
    "JsonFormatter",
    "LineFormatter",
    "about",
    "about_hub",
    "escape",
    "find_ids_by",
    "log_as_told",
    "log_otherwise",
    "log_to_stderr",
    "log_uncaught",
    "of_hub",
    "outlive_configuration",
    "tell_what_is_due",
    "tell_what_was_left_out",
]

#: All loggers of this package.
LOGGERS = ("actorrpc", "actorrpc.broker", "actorrpc.handoff", "actorrpc.hub", "actorrpc.ipc")

_FORMATTERS = {"text": LineFormatter, "json": JsonFormatter}

_ESCAPES = Escapes()
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_ESCAPES)
    logging.getLogger(_name).addFilter(LIMITS)


def log_to_stderr(role: str, *, level: str = "info", format: str = "text") -> None:
    """Write what ``actorrpc.*`` loggers say from ``level`` up to standard error, each line with ``role``, as
    ``"text"`` or ``"json"``.

    The one who logs never waits for who reads. Only the project's own loggers: how an app logs is the app's
    choice. gevent must have patched this process before, if it does.
    """
    from actorrpc.log.stderr import Handler

    global _handlers
    # Without it the descriptor 2 may be somebody else's, such as a client's.
    _handlers = [logging.NullHandler() if sys.stderr is None else Handler(_FORMATTERS[format](role))]
    logger = logging.getLogger("actorrpc")
    logger.setLevel(level.upper())
    logger.propagate = False
    logger.handlers = list(_handlers)


#: Those of ``log_to_stderr``.
_handlers: list[logging.Handler] = []


class _Level(int):
    """A level that we have given the root logger, and nobody has changed since."""


def log_as_told(role: str, level: str, format: str) -> None:
    """``log_to_stderr``, for a process that is ours: also whatever else is logged from ``level`` up and no
    handler takes, in place of Python's own last resort, which prints warnings without saying when and by
    whom.

    An app that configures ``logging`` finds it as in any process, without a handler.
    """
    log_to_stderr(role, level=level, format=format)
    logging.root.setLevel(_Level(logging.getLevelName(level.upper())))
    logging.lastResort = _handlers[0]
    logging.basicConfig = _basic_config


def log_otherwise(role: str, level: str, format: str) -> None:
    """Have what ``log_as_told`` has set up go on so. What users' code has changed since stays as it is."""
    for handler in _handlers:
        handler.setFormatter(_FORMATTERS[format](role))
    logging.getLogger("actorrpc").setLevel(level.upper())
    if isinstance(logging.root.level, _Level):
        logging.root.setLevel(_Level(logging.getLevelName(level.upper())))


_configure = logging.basicConfig


@wraps(_configure)
def _basic_config(**wishes: Any) -> None:
    """Without a wish it is ``logging.info`` and the like that call it, where there is no handler yet: what
    they log is to come out as all else does."""
    if wishes:
        _configure(**wishes)


def outlive_configuration() -> None:
    """Have our loggers go on as ``log_to_stderr`` wanted it, after code of users that may have configured
    ``logging``: unless told otherwise, its dictConfig and fileConfig disable whatever they do not name, and
    take the handlers of a logger that is named for its level. What they give to ours is left.

    Handlers that they have given to the root logger get what they would in any process.
    """
    for name in LOGGERS:
        logging.getLogger(name).disabled = False
    logger = logging.getLogger("actorrpc")
    if not (logger.handlers or logger.propagate):
        logger.handlers = list(_handlers)
    root = logging.root
    if root.handlers and isinstance(root.level, _Level):
        root.setLevel(logging.WARNING)


def log_uncaught(log: logging.Logger) -> None:
    """Log what nobody catches, and what Python warns of, which it and gevent would print to standard error:
    that blocks while nobody reads, and takes what a client has put into an exception's text as it is.

    For a process that is ours: it changes what the interpreter and gevent do.
    """
    from actorrpc.log.uncaught import install

    install(log)
