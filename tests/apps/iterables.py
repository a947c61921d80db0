"""What the storm's iterables have around them: a count of those that are open, and a context variable."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType
from typing import Any

import actorrpc

__all__ = ["Opened", "opened", "whose"]

#: The call that runs here, as it says itself: nobody else may see it.
whose: ContextVar[str] = ContextVar("whose", default="")


class Opened:
    """A block of an iterable, which has to be left again, and in the context in which it was entered."""

    #: How many are open in this hub.
    count = 0

    def __init__(self, call: actorrpc.Call[Any]) -> None:
        self._id = call.id

    def __enter__(self) -> None:
        Opened.count += 1
        self._token = whose.set(self._id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Opened.count -= 1
        whose.reset(self._token)


def opened() -> int:
    """How many iterables of this hub have been begun and neither exhausted nor closed."""
    return Opened.count
