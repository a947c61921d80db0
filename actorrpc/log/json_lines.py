"""Records as JSON: one object a line."""

from __future__ import annotations

import json
import logging
import os
from datetime import datetime, timezone

from actorrpc.log.escaping import AT_ONCE, LONGEST_MESSAGE, LONGEST_TRACE, message_of, shortened, trace_of
from actorrpc.log.ids import NAMES

__all__ = ["JsonFormatter"]

#: Bytes of a line, without its end: what is longer could be torn by another process's line on a pipe.
LONGEST_LINE = AT_ONCE - 1

#: What is shortened in a line that would be longer, in this order, until it is not.
_LONG = ("exception", "stack", "detail", "message", "logger", *NAMES[1:])


class JsonFormatter(logging.Formatter):
    """A record is one line of ASCII with a JSON object: ``time`` (UTC, ISO 8601), ``level``, ``logger``,
    ``role``, ``pid``, the ids that ``actorrpc.log.Ids`` has given it, ``message``; and where there are any
    ``exception``, ``stack`` and ``detail``.

    Of a traceback that is too long for a line the middle is left out.
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        ids = {name: getattr(record, name, "") for name in NAMES}
        line = {
            "time": _time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "role": self._role,
            "pid": record.process or os.getpid(),
            **{name: id if type(id) is int else str(id) for name, id in ids.items() if id != ""},
            "message": shortened(message_of(record), LONGEST_MESSAGE),
        }
        rest = {
            "exception": trace_of(self, record),
            "stack": record.stack_info or "",
            "detail": str(getattr(record, "detail", "")),
        }
        line |= {name: shortened(text.rstrip("\n"), LONGEST_TRACE) for name, text in rest.items() if text}
        return _fitting(line)


def _time(created: float) -> str:
    at = datetime.fromtimestamp(created, timezone.utc).isoformat(timespec="microseconds")
    return at.replace("+00:00", "Z")


def _fitting(line: dict[str, int | str]) -> str:
    """The object as JSON, shortened until it is no longer than a line may be."""
    text = json.dumps(line)
    for name in _LONG:
        over = len(text) - LONGEST_LINE
        if over <= 0:
            break
        value = line.get(name, "")
        if isinstance(value, str) and value:
            line[name] = _cut(value, len(json.dumps(value)) - over)
            text = json.dumps(line)
    return text


def _cut(text: str, room: int) -> str:
    """As much of both ends of a text as takes no more than ``room`` as JSON, or what stands for nothing."""
    keep = min(len(text) - 1, max(room, 0))
    while keep and len(json.dumps(shortened(text, keep))) > room:
        keep = keep * 9 // 10
    return shortened(text, keep)
