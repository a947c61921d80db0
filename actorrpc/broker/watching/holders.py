"""What holds the loop of a hub that does not answer, in words for people."""

from __future__ import annotations

import os
from collections.abc import Sequence

import gevent

from actorrpc.broker.watching.dumps import NoStack, Place
from actorrpc.broker.watching.process import Watched

__all__ = ["describe", "held_by"]

#: The folders of the code that calls the app's.
_OURS = tuple(
    os.path.join(os.path.dirname(os.path.abspath(each)), "")
    for each in (os.path.dirname(os.path.dirname(__file__)), gevent.__file__)
)


def describe(process: Watched) -> tuple[str, list[Place]]:
    """What holds a hub, and its stack, the outermost place first; none if it cannot be had. Waits for about a
    second at most."""
    try:
        places = process.stack()
    except NoStack as error:
        return f"{error}, and its stack cannot be had", []
    return held_by(places), places


def held_by(places: Sequence[Place]) -> str:
    """Whose code holds the loop: the app's handler, which is its outermost place, and where that is now."""
    handler = next((each for each in places if not each.file.startswith((*_OURS, "<"))), None)
    if handler is None:
        return "its loop is held, and no code of the app's is on its stack"
    held = f"its loop is held by {_named(handler)}"
    return held if places[-1] == handler else f"{held}, in {_named(places[-1])}"


def _named(place: Place) -> str:
    return f"{place.function} ({place.file.removeprefix(os.getcwd() + os.sep)}, line {place.line})"
