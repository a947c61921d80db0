"""Whether what a user's class defines will be called, and can be: signatures, and names that look like those
of hooks and handlers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from actorrpc.errors import ConfigError

__all__ = ["HOOK", "check_hook", "check_hook_names", "check_signature", "hooks_of", "meant", "takes"]

#: How alike two names must be (``difflib``'s ratio) for one to be the other with a slip of the fingers:
#: `Wacth` and `Watch` have 0.8.
_ALIKE = 0.8

#: What the names of hooks begin with.
HOOK = "on_"


def hooks_of(base: type) -> dict[str, tuple[str, ...]]:
    """The hooks that a class declares, and what each takes, ``self`` first."""
    return {
        name: tuple(inspect.signature(hook).parameters)
        for name, hook in vars(base).items()
        if name.startswith(HOOK)
    }


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
    except ValueError:  # written in C, and does not say what it takes
        pass


def check_hook(where: str, hook: Callable[..., Any], arguments: Sequence[str]) -> None:
    """As ``check_signature``, and nothing of a hook that is a generator would ever run."""
    check_signature(where, hook, arguments)
    if inspect.isgeneratorfunction(hook):
        raise ConfigError(f"{where} is a generator, of which nothing would run: drop the yield")


def check_hook_names(where: str, names: Iterable[str], hooks: Collection[str], owner: str) -> None:
    """Raise ConfigError for a name that looks like a hook's and is not one: it begins with ``on_``, or has
    other capitals or underscores. ``owner`` is whose hooks they are, such as "an actor"."""
    plain = {_plain(hook): hook for hook in hooks}
    for name in names:
        if name in hooks or name.startswith("_"):
            continue
        if (instead := plain.get(_plain(name))) is None and name.startswith(HOOK):
            stems = [hook.removeprefix(HOOK) for hook in hooks]
            instead = next((HOOK + stem for stem in get_close_matches(name[len(HOOK) :], stems, 1)), "")
        if instead:
            raise ConfigError(f"{where}.{name} is not a hook of {owner}; did you mean {instead}?")
        if instead is not None:
            raise ConfigError(
                f"{where}.{name} is not a hook of {owner}: those are {', '.join(hooks)}. Other names must "
                f"not begin with {HOOK}"
            )


def meant(name: str, others: Sequence[str]) -> str | None:
    """Which of ``others`` a name is, but for capitals, underscores or a slip of the fingers."""
    for other in others:
        if _plain(other) == _plain(name):
            return other
    return next(iter(get_close_matches(name, others, 1, _ALIKE)), None)


def takes(function: Callable[..., Any], arguments: Sequence[str]) -> bool:
    """Whether it can be called with ``arguments``, as far as it says what it takes."""
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
