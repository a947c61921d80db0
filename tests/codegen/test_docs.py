"""``docs/guide/codegen.md`` shows what is really generated, and quotes errors that are really printed.

What it and ``docs/guide/calling.md`` show of clients is tried in other files.
"""

from __future__ import annotations

import re
from pathlib import Path

from actorrpc.codegen.plugin import respond

from .programs import request_for

__all__ = ["blocks"]

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
TEXT = "".join((GUIDE / page).read_text() for page in ("codegen.md", "calling.md"))


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return [text for of, text in found if of == language]


def test_the_example_is_what_is_generated(tmp_path: Path) -> None:
    (proto,) = [block for block in blocks("proto") if block.startswith("syntax")]
    (tmp_path / "tally.proto").write_text(proto)
    (file,) = respond(request_for(tmp_path, tmp_path, "tally.proto")).file
    assert file.content in blocks("python")


def test_the_error_is_what_is_printed(tmp_path: Path) -> None:
    (proto,) = [block for block in blocks("proto") if block.startswith("syntax")]
    (tmp_path / "tally.proto").write_text(proto.replace('"tally.Count"', '"Count"'))
    error = respond(request_for(tmp_path, tmp_path, "tally.proto")).error
    assert f"--actorrpc_out: {error}\n" in blocks("")
