"""Whether a function of the user's can be called as it will be."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from actorrpc.errors import ConfigError

__all__ = ["check_signature"]


def check_signature(where: str, function: Callable[..., Any], arguments: Sequence[str]) -> None:
    """Raise ConfigError, with one line that names ``where``, if it is async or does not take ``arguments``.

    Their names are for people. That of a bound method's ``self`` may be left out.
    """
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"{where} is async: actorrpc runs plain functions on gevent; drop the async")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        shown = ", ".join(("self", *(name for name in arguments if name != "self")))
        raise ConfigError(f"{where} must take ({shown}): {error}") from error
