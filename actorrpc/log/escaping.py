"""What a line of the log may hold: no text of a client's ends it, begins another, or steers a terminal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["AT_ONCE", "Escapes", "LineFormatter", "escape", "message_of", "shortened", "trace_of"]

#: Characters of a message: as many as are told of an app that cannot be imported.
LONGEST_MESSAGE = 10_000
#: Characters of a traceback. One of 1,000 frames, a recursion, is shorter: Python folds what repeats.
LONGEST_TRACE = 32_000

#: What is written at once, in whole lines: those of several processes do not mix on a pipe (PIPE_BUF of
#: pipe(7)). More in one write, and another hub's line may come in the middle of one: its rest then begins a
#: line, with whatever a client has put there.
AT_ONCE = 4096

_CUT = "[…]"
_OURS = "actorrpc"
_INDENT = "    "


def escape(text: str) -> str:
    """The text with an escape, such as ``\\n`` or ``\\u202e``, for each character that is not seen as itself:
    controls, separators other than the space, what changes the direction of writing, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


class Escapes(logging.Filter):
    """Escapes the arguments of records, so that any handler gets one line: also one that is a program's own.

    A traceback is left to the handler's formatter, as programs have their own ways with it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        args = record.args
        if isinstance(args, Mapping):
            record.args = {name: _harmless(value) for name, value in args.items()}
        elif args:
            record.args = tuple(map(_harmless, args))
        return True


def _harmless(value: object) -> Any:
    harmless = type(value) in (int, float, bool) or (type(value) is str and value.isprintable())
    return value if harmless else _Harmless(value)


class _Harmless:
    """An argument whose text is made only if somebody wants it."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return self._text(str)

    def __repr__(self) -> str:
        return self._text(repr)

    def _text(self, make: Any) -> str:
        try:
            return escape(make(self._value))
        except BaseException as error:  # the text may be an app's exception's, and do anything
            return f"<{type(self._value).__name__}, whose text cannot be shown: {type(error).__name__}>"


class LineFormatter(logging.Formatter):
    """A record is a line with the time, the level, a role and the message; what belongs to it, such as a
    traceback, follows in lines that are indented. So a line that begins with anything but a space is the
    first of a record, whatever is in its texts. After the role stands the logger, if it is none of ours.

    A record's ``detail`` is a text of several lines that is shown as a traceback is.
    """

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = escape(role)

    def usesTime(self) -> bool:
        return True

    def formatMessage(self, record: logging.LogRecord) -> str:
        by = "" if record.name.partition(".")[0] == _OURS else f" {escape(record.name)}"
        return f"{record.asctime} {record.levelname} {self._role}{by}: {record.message}"

    def format(self, record: logging.LogRecord) -> str:
        record.message = escape(shortened(message_of(record), LONGEST_MESSAGE))
        record.asctime = self.formatTime(record)
        parts = (trace_of(self, record), record.stack_info or "", str(getattr(record, "detail", "")))
        return "\n".join([self.formatMessage(record), *(line for part in parts for line in _indented(part))])


def trace_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback of a record's exception, whatever the exception does; empty if there is none."""
    info = record.exc_info
    if not info or info[0] is None:
        return ""
    try:
        return formatter.formatException(info)
    except BaseException as error:
        return f"{info[0].__name__}, whose traceback cannot be shown: {type(error).__name__}"


def message_of(record: logging.LogRecord) -> str:
    """A record's message, whatever its arguments do."""
    try:
        return record.getMessage()
    except BaseException as error:
        return f"{record.msg} (its arguments cannot be shown: {type(error).__name__})"


def shortened(text: str, longest: int) -> str:
    """The text, without what is in its middle if it is longer: both ends of a traceback tell something."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}{_CUT}{text[len(text) - half :]}"


def _indented(text: str) -> list[str]:
    if not text:
        return []
    return [_INDENT + escape(line) for line in shortened(text.rstrip("\n"), LONGEST_TRACE).split("\n")]
