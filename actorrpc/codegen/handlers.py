"""What the handlers of a service's methods are called, also where a method has a name that is taken.

As PEP 8 has it for keywords, such a handler's name ends in an underscore: ``publish_`` serves ``publish``.
Underscores that the name has already are kept, so that no two handlers meet: ``publish__`` serves
``publish_``. A handler's name depends on no other method, but for the ends of streams: where the client of
``Talk`` streams, ``Talk_end_`` serves ``Talk_end``.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping

from actorrpc.actor import Actor
from actorrpc.service import is_special
from actorrpc.signatures import HOOK

__all__ = ["handler_names", "is_taken"]

# A name such as `state` is only annotated, and dir() does not see it. A stateless service may become an
# actor later, so it is held to the same names.
_OURS = {name for base in Actor.__mro__ for name in (*dir(base), *inspect.get_annotations(base))}

# What actors may learn. Were a name taken only when it is needed, its handlers would then have to be renamed.
_TO_COME = {
    *("actor", "actors", "ask", "cancel", "forget", "join", "leave", "load", "lock", "ref", "save"),
    *("schedule", "send", "sleep", "spawn", "stop", "tell", "timer", "timers", "wait"),
}


def is_taken(name: str) -> bool:
    """Tell whether ``name`` is an actor's, or may be in a later version, or is Python's own."""
    return (
        name in _OURS
        or name in _TO_COME
        or name.startswith(HOOK)
        or keyword.iskeyword(name)
        or is_special(name)
    )


def handler_names(methods: Mapping[str, bool]) -> dict[str, tuple[str, ...]]:
    """Name the handlers of each method of a service; ``methods`` says of each whether its client streams.

    There is one for messages, and one for the end where they are a stream.
    """
    is_end = {f"{name}_end" for name, streaming in methods.items() if streaming}.__contains__
    return {
        name: (_escaped(name, is_taken, is_end), *([_escaped(f"{name}_end", is_taken)] if streaming else []))
        for name, streaming in methods.items()
    }


def _escaped(name: str, *reasons: Callable[[str], bool]) -> str:
    """Append an underscore for each reason that holds for ``name``, or for it with fewer underscores."""
    stem = len(name.rstrip("_"))
    versions = [name[:length] for length in range(stem, len(name) + 1)]
    return name + "_" * sum(any(map(reason, versions)) for reason in reasons)
