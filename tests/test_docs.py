"""What the documents say of options is what the code says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from actorrpc.config import Config

DOCS = Path(__file__).parents[1] / "docs"


def test_limits_names_each_option_with_its_default() -> None:
    text = (DOCS / "limits.md").read_text()
    said = dict(re.findall(r"^\| `(\w+)` \| ([\w.]+)", text, re.M))
    assert said == {field.name: str(field.default) for field in fields(Config)}
