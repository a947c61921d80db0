"""Writes what settings say into the pages of docs/operate: ``python -m tests.settings_table``.

A table stands between two markers. The first names the settings that are in it, or says that it has all
options of ``actorrpc serve``.
"""

from __future__ import annotations

import re
from pathlib import Path

from actorrpc.config import settings
from actorrpc.errors import StatusCode
from actorrpc.serve_options import serve_settings
from actorrpc.settings import Setting
from actorrpc.settings.sources import variable

__all__ = ["OPTIONS", "PAGES", "named", "written"]

_FOLDER = Path(__file__).parents[1] / "docs" / "operate"
#: Where each setting is told of among those of its subject.
PAGES = tuple(_FOLDER / name for name in ("limits.md", "logging.md", "listening.md", "security.md", "tls.md"))
#: Where all options are.
OPTIONS = _FOLDER / "options.md"

_TABLE = re.compile(r"(<!-- settings:([^>]*)-->\n)(.*?)(<!-- end -->)", re.DOTALL)
_HEAD = "| option | default | unit | |\n|---|---|---|---|\n"

_OPTIONS = re.compile(r"(<!-- options -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_OPTIONS_HEAD = (
    "| option | flag | environment | TOML key | default | unit | what for |\n|---|---|---|---|---|---|---|\n"
)


def named(document: str) -> list[str]:
    """The names of the settings that are in the document's tables."""
    return [name for table in _TABLE.finditer(document) for name in table[2].split()]


def written(document: str) -> str:
    """The document, with its tables as they should be. Raises KeyError for a name that is not a setting's."""
    known = {each.name: each for each in settings()}

    def table(match: re.Match[str]) -> str:
        rows = "".join(_row(known[name]) for name in match[2].split())
        return f"{match[1]}{_HEAD}{rows}{match[4]}"

    rows = "".join(map(_option_row, serve_settings()))
    document = _OPTIONS.sub(lambda match: f"{match[1]}{_OPTIONS_HEAD}{rows}{match[3]}", document)
    return _TABLE.sub(table, document)


def _row(setting: Setting) -> str:
    default = setting.unset if setting.default in ((), None) else setting.default
    return f"| `{setting.name}` | {default} | {setting.unit} | {_marked(setting.help)} |\n"


def _option_row(setting: Setting) -> str:
    flag = f"--{setting.name.replace('_', '-')}"
    cells = (
        setting.name.replace("_", " "),
        f"`{flag}`" + (f", `--no-{flag[2:]}`" if setting.default is True else ""),
        f"`{variable(setting.name)}`",
        f"`{setting.name}`" if setting.in_file else "",
        _default(setting),
        setting.unit,
        _marked(setting.help) + (" Cannot change while the server lives." if setting.fixed else ""),
    )
    return f"| {' | '.join(cells)} |\n"


def _default(setting: Setting) -> str:
    if setting.default is None or setting.default == ():
        return setting.unset
    if setting.kind is bool:
        return str(setting.default).lower()
    return str(setting.default)


def _marked(help: str) -> str:
    """The text with statuses and names of HTTP/2 as code."""
    return re.sub(rf"\b(?:[A-Z]+(?:_[A-Z]+)+|{'|'.join(StatusCode.__members__)})\b", r"`\g<0>`", help)


if __name__ == "__main__":
    for page in (*PAGES, OPTIONS):
        page.write_text(written(page.read_text()))
