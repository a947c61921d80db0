"""What the documents say of options is what the code says, and what they have one install can be had."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from actorrpc.config import settings
from tests import settings_table

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def test_limits_tells_of_each_setting_what_the_code_says() -> None:
    text = settings_table.DOCS.read_text()
    assert sorted(settings_table.named(text)) == sorted(each.name for each in settings())
    assert settings_table.written(text) == text, "run `python -m tests.settings_table`"


def test_nobody_is_told_to_install_what_is_on_no_index() -> None:
    """The package itself is installed from a checkout, whose folder a command names."""
    told = {
        (document.relative_to(ROOT).parent, part)
        for document in (*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("*/*/*.md"))
        for line in re.findall(r"pip install ([^`#\n&]*)", document.read_text())
        for part in shlex.split(line)
        if "actorrpc" in part or part.startswith(".")
    }
    assert not {part for _, part in told if "actorrpc" in part}
    hello = Path("examples/hello")
    assert (hello, "../..[tools]") in told
    assert (ROOT / hello / "../.." / "setup.cfg").exists()
