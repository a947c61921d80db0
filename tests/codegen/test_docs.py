"""``docs/guide/codegen.md`` shows what is really generated, and quotes errors that are really printed.

What it and ``docs/guide/calling.md`` show of clients is tried in other files.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actorrpc.codegen.plugin import respond

from .programs import request_for
from .test_refusals import REFUSED

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


def test_the_keyed_example_is_generated_so(tmp_path: Path) -> None:
    (room,) = [block for block in blocks("proto") if "scope: KEY" in block]
    (invitation,) = [block for block in blocks("proto") if "ref.proto" in block]
    head = 'syntax = "proto3"; package chat; import "actorrpc/options.proto"; message JoinReply {}'
    imported, _, message = invitation.partition("\n\n")
    (tmp_path / "room.proto").write_text(f"{head}\n{imported}\n{message}\n{room}")
    answer = respond(request_for(tmp_path, tmp_path, "room.proto"))
    (written,) = re.findall(r"`(keyed=.*?)`", TEXT)
    assert not answer.error and f"{written},\n" in answer.file[0].content


def told_errors() -> list[str]:
    """Patterns of the errors that the table has."""
    table = TEXT.partition("| It says | Do this |\n")[2].partition("\n\n")[0]
    quoted = [
        text for row in table.split("\n") for _, text in re.findall(r"(`+) ?(.+?) ?\1", row.split("|")[1])
    ]
    return [".*".join(map(re.escape, text.split("…"))) for text in quoted]


@pytest.mark.parametrize(("body", "error"), REFUSED.values(), ids=REFUSED)
def test_each_error_is_told_of(body: str, error: str) -> None:
    assert any(re.search(pattern, error) for pattern in told_errors())
