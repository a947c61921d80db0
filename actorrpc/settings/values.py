"""What is written in a file or in the environment, as a setting's value."""

from __future__ import annotations

import math
from typing import Any

from actorrpc.errors import ConfigError
from actorrpc.settings.setting import Setting

__all__ = ["from_file", "from_text"]

_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number of seconds",
    str: "a text in quotes",
    tuple: "a text in quotes, or a list of such",
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def from_file(setting: Setting, value: Any, called: str) -> Any:
    """The value of a setting that TOML has with its type; a whole number is a time, too.

    Raises ConfigError, which names it as it is ``called``, if the type or the value is wrong.
    """
    wanted = setting.kind
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is tuple and (type(value) is str or _is_texts(value)):
        value = (value,) if isinstance(value, str) else tuple(value)
    if type(value) is not wanted:
        raise ConfigError(f"{called} must be {_WORDS[wanted]}, not {_short(value)}")
    setting.check(value, called)
    return value


def from_text(setting: Setting, text: str, called: str) -> Any:
    """The value of a setting that the environment has as a text; several of one have commas between them.

    Raises ConfigError as ``from_file`` does.
    """
    try:
        value = _READ[setting.kind](text)
    except (ValueError, OverflowError):
        raise ConfigError(f"{called} must be {_WORDS[setting.kind]}, not {_short(text)}") from None
    setting.check(value, called)
    return value


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def _read_bool(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(text)
    return word in _TRUE


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is str for each in value)


def _read_texts(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(","))


def _read_seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_READ: dict[type, Any] = {bool: _read_bool, int: int, float: _read_seconds, str: str, tuple: _read_texts}
