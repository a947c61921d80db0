"""Writes what settings say into docs/operate/limits.md: ``python -m tests.settings_table``.

A table stands between two markers, of which the first names the settings that are in it.
"""

from __future__ import annotations

import re
from pathlib import Path

from actorrpc.config import settings
from actorrpc.errors import StatusCode
from actorrpc.settings import Setting

__all__ = ["DOCS", "named", "written"]

DOCS = Path(__file__).parents[1] / "docs" / "operate" / "limits.md"

_TABLE = re.compile(r"(<!-- settings:([^>]*)-->\n)(.*?)(<!-- end -->)", re.DOTALL)
_HEAD = "| option | default | unit | |\n|---|---|---|---|\n"


def named(document: str) -> list[str]:
    """The names of the settings that are in the document's tables."""
    return [name for table in _TABLE.finditer(document) for name in table[2].split()]


def written(document: str) -> str:
    """The document, with its tables as they should be. Raises KeyError for a name that is not a setting's."""
    known = {each.name: each for each in settings()}

    def table(match: re.Match[str]) -> str:
        rows = "".join(_row(known[name]) for name in match[2].split())
        return f"{match[1]}{_HEAD}{rows}{match[4]}"

    return _TABLE.sub(table, document)


def _row(setting: Setting) -> str:
    return f"| `{setting.name}` | {setting.default} | {setting.unit} | {_marked(setting.help)} |\n"


def _marked(help: str) -> str:
    """The text with statuses and names of HTTP/2 as code."""
    return re.sub(rf"\b(?:[A-Z]+(?:_[A-Z]+)+|{'|'.join(StatusCode.__members__)})\b", r"`\g<0>`", help)


if __name__ == "__main__":
    DOCS.write_text(written(DOCS.read_text()))
