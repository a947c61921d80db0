"""What the documents say of options is what the code says, what they have one install can be had, and each
page that they or the code name is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorrpc.config import settings
from tests import settings_table
from tests.support.processes import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for page in {*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("*/*/*.md")}
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)  # pytest's cache, say
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_limits_tells_of_each_setting_what_the_code_says() -> None:
    text = settings_table.DOCS.read_text()
    assert sorted(settings_table.named(text)) == sorted(each.name for each in settings())
    assert settings_table.written(text) == text, "run `python -m tests.settings_table`"


def test_nobody_is_told_to_install_what_is_on_no_index() -> None:
    """The package itself is installed from a checkout, whose folder a command names."""
    told = {
        (document.relative_to(ROOT).parent, part)
        for document in PAGES
        for line in re.findall(r"pip install ([^`#\n&]*)", document.read_text())
        for part in shlex.split(line)
        if "actorrpc" in part or part.startswith(".")
    }
    assert not {part for _, part in told if "actorrpc" in part}
    hello = Path("examples/hello")
    assert (hello, "../..[tools]") in told
    assert (ROOT / hello / "../.." / "setup.cfg").exists()


def prose(page: Path) -> str:
    """A page without its blocks of code and spans of code."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.S | re.M)
    return re.sub(r"(`+)[^`]+\1", "", text)


def anchors(page: Path) -> set[str]:
    """What its headings are linked by, as GitHub makes it of them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.S | re.M)
    headings = [re.sub(r"\]\([^)]*\)", "]", heading) for heading in re.findall(r"^#+ (.+)$", text, re.M)]
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@every_page
def test_each_relative_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def mentions() -> Iterator[tuple[Path, str]]:
    """Pages that code, configuration and documents name by their paths."""
    kinds = ("*.py", "*.proto", "*.md")
    folders = ("actorrpc", "protos", "tests", "benchmarks", "examples", "docs")
    sources = [path for folder in folders for kind in kinds for path in (ROOT / folder).rglob(kind)]
    for source in (*sources, *ROOT.glob("*.md"), ROOT / "tox.ini", ROOT / "setup.cfg"):
        if "node_modules" not in source.parts:
            for name in re.findall(r"(?<![\w./])docs/[\w/]+\.md", source.read_text()):
                yield source.relative_to(ROOT), name


def test_each_page_that_is_named_is_there() -> None:
    found = list(mentions())
    assert (Path("actorrpc/cli/ask.py"), "docs/operate/proxies.md") in found
    assert not [(str(source), name) for source, name in found if not (ROOT / name).exists()]


def test_the_index_names_each_page_once() -> None:
    index = DOCS / "README.md"
    named = re.findall(r"^\| \[[\w.]+\]\(([\w/.]+)\) \|", index.read_text(), re.M)
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if page != index]
    assert sorted(named) == sorted(pages)


@pytest.mark.parametrize("page", sorted((DOCS / "design").glob("*.md")), ids=lambda page: page.name)
def test_each_file_that_the_design_names_is_there(page: Path) -> None:
    """By its path in the package or in the repository; a page that tells of the future names no ``.py``."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.S | re.M)
    for name in re.findall(r"`([\w/]+/\w+\.py)\b", text):
        assert (ROOT / "actorrpc" / name).exists() or (ROOT / name).exists(), name
