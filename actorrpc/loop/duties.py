"""What has to be done whatever else fails, and how what failed is told: to a log, and to other processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

__all__ = ["LONGEST", "brief", "do_all", "reason"]

#: Characters of a text about a failure that goes into a message, a journal or a history.
LONGEST = 500

_CUT = " […]"


def do_all(
    log: logging.Logger, what: str, *duties: Callable[[], object], ids: Mapping[str, str] | None = None
) -> None:
    """Do each of them, in order, also where an earlier one raises: that is logged, as an error in ``what``,
    with these ids (``actorrpc.log.ids``).

    What is not an Exception, such as a KeyboardInterrupt, is raised when all have been done.
    """
    interrupt: BaseException | None = None
    for duty in duties:
        try:
            duty()
        except Exception:
            log.exception("error in %s, which goes on", what, extra=ids)
        except BaseException as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def brief(text: str, longest: int = LONGEST) -> str:
    """A text that an app or another process may have made, so that it can be sent and kept: short Unicode."""
    if len(text) > longest:
        text = text[: longest - len(_CUT)] + _CUT
    return text.encode(errors="backslashreplace").decode()


def reason(error: BaseException) -> str:
    """What an exception says, after its type; ``brief``, and whatever its own ``__str__`` does."""
    try:
        text = str(error)
    except BaseException as failure:
        text = f"its text cannot be shown: {type(failure).__name__}"
    return brief(f"{type(error).__name__}: {text}")
