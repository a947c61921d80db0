"""The log: what a line of it may hold, how many there may be, and how they are written without waiting.

Whatever is logged by one of ``LOGGERS`` passes two filters, in a hub, in a broker and in a program that
serves by itself: ``escaping.Escapes`` and ``limits.LIMITS``. So a call of ``log.error`` need not think of
what a client may have put into its arguments, nor of how often it may come. A filter of a logger does not see
what its children log, which is why each logger has them.

For whoever logs: ``about``. For whoever has a loop: ``tell_what_is_due`` and ``tell_what_was_left_out``. For
who starts a process, or a program that wants its log written as hubs do: ``log_to_stderr``,
``outlive_configuration``, ``log_uncaught``.
"""

from __future__ import annotations

import logging
import sys

from actorrpc.log.escaping import Escapes, LineFormatter, escape
from actorrpc.log.limits import LIMITS, about, tell_what_is_due, tell_what_was_left_out

__all__ = [
    "LOGGERS",
    "LineFormatter",
    "about",
    "escape",
    "log_to_stderr",
    "log_uncaught",
    "outlive_configuration",
    "tell_what_is_due",
    "tell_what_was_left_out",
]

#: All loggers of this package.
LOGGERS = ("actorrpc", "actorrpc.broker", "actorrpc.handoff", "actorrpc.hub", "actorrpc.ipc")

_ESCAPES = Escapes()
for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_ESCAPES)
    logging.getLogger(_name).addFilter(LIMITS)


def log_to_stderr(role: str) -> None:
    """Write what ``actorrpc.*`` loggers say from INFO up to standard error, each line with ``role``.

    The one who logs never waits for who reads. Only the project's own loggers: how an app logs is the app's
    choice. gevent must have patched this process before, if it does.
    """
    from actorrpc.log.stderr import Handler

    global _handlers
    # Without it the descriptor 2 may be somebody else's, such as a client's.
    _handlers = [logging.NullHandler() if sys.stderr is None else Handler(LineFormatter(role))]
    logger = logging.getLogger("actorrpc")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = list(_handlers)


#: Those of ``log_to_stderr``.
_handlers: list[logging.Handler] = []


def outlive_configuration() -> None:
    """Have our loggers go on as ``log_to_stderr`` wanted it, after code of users that may have configured
    ``logging``: unless told otherwise, its dictConfig and fileConfig disable whatever they do not name, and
    take the handlers of a logger that is named for its level. What they give to ours is left."""
    for name in LOGGERS:
        logging.getLogger(name).disabled = False
    logger = logging.getLogger("actorrpc")
    if not (logger.handlers or logger.propagate):
        logger.handlers = list(_handlers)


def log_uncaught(log: logging.Logger) -> None:
    """Log what nobody catches, and what Python warns of, which it and gevent would print to standard error:
    that blocks while nobody reads, and takes what a client has put into an exception's text as it is.

    For a process that is ours: it changes what the interpreter and gevent do.
    """
    from actorrpc.log.uncaught import install

    install(log)
