"""What a line of the log may hold: no text of a client's ends it, begins another, or steers a terminal."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

__all__ = ["Escapes", "LineFormatter", "escape"]

#: Characters of a message: as many as are told of an app that cannot be imported.
LONGEST_MESSAGE = 10_000
#: Characters of a traceback. One of 1,000 frames, a recursion, is shorter: Python folds what repeats.
LONGEST_TRACE = 32_000

_CUT = "[…]"
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
    first of a record, whatever is in its texts.

    A record's ``detail`` is a text of several lines that is shown as a traceback is.
    """

    def __init__(self, role: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {escape(role).replace('%', '%%')}: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        record.message = escape(_shortened(_message(record), LONGEST_MESSAGE))
        record.asctime = self.formatTime(record)
        parts = (self._trace(record), record.stack_info or "", str(getattr(record, "detail", "")))
        return "\n".join([self.formatMessage(record), *(line for part in parts for line in _indented(part))])

    def _trace(self, record: logging.LogRecord) -> str:
        info = record.exc_info
        if not info or info[0] is None:
            return ""
        try:
            return self.formatException(info)
        except BaseException as error:
            return f"{info[0].__name__}, whose traceback cannot be shown: {type(error).__name__}"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except BaseException as error:
        return f"{record.msg} (its arguments cannot be shown: {type(error).__name__})"


def _shortened(text: str, longest: int) -> str:
    """The text, without what is in its middle if it is longer: both ends of a traceback tell something."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}{_CUT}{text[-(longest // 2) :]}"


def _indented(text: str) -> list[str]:
    if not text:
        return []
    return [_INDENT + escape(line) for line in _shortened(text.rstrip("\n"), LONGEST_TRACE).split("\n")]
