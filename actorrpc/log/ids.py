"""What a line is about, as ids beside its text: which hub, connection, call and move.

Who logs gives those that it knows (``about``). A line that is written in a turn, by an app or a library, is
about the turn's call; that is looked up when such a line is written, and costs a call nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

__all__ = ["NAMES", "Ids", "find_ids_by", "of_hub"]

#: Attributes of records, in the order in which they are shown. A hub is a number, the others are texts.
NAMES = ("hub", "connection", "call", "move")


_of_process: dict[str, object] = {}
_find: Callable[[], Mapping[str, object]] = dict


def of_hub(hub: int) -> None:
    """All that this process logs is of a hub."""
    _of_process["hub"] = hub


def find_ids_by(find: Callable[[], Mapping[str, object]]) -> None:
    """Ask this function for the ids of whatever runs in the current greenlet, each time that something is
    logged there."""
    global _find
    _find = find


class Ids(logging.Filter):
    """Gives records the attributes of ``NAMES``: ``""`` for what there is none of.

    Handlers of an app's own may have it, so that their formats can use them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        attributes = record.__dict__
        for name, id in (_of_process | dict(_find())).items():
            attributes.setdefault(name, id)
        for name in NAMES:
            attributes.setdefault(name, "")
        return True
