"""What the documents say of options is what the code says, what they have one install can be had, and each
page that they or the code name is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorrpc.config import settings
from actorrpc.errors import ConfigError
from actorrpc.serve_options import Sources, serve_settings
from tests import settings_table
from tests.support.processes import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(
    page
    for page in {*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("*/*/*.md")}
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)  # pytest's cache, say
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.parametrize("page", [*settings_table.PAGES, settings_table.OPTIONS], ids=lambda page: page.name)
def test_what_a_page_tells_of_options_is_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert settings_table.written(text) == text, "run `python -m tests.settings_table`"


def test_each_setting_is_told_of_among_those_of_its_subject_and_among_all_options() -> None:
    told = [name for page in settings_table.PAGES for name in settings_table.named(page.read_text())]
    assert sorted(told) == sorted(each.name for each in settings())
    rows = re.findall(r"^\| [\w ]+ \| `--([\w-]+)`", settings_table.OPTIONS.read_text(), re.M)
    assert rows == [each.name.replace("_", "-") for each in serve_settings()]


def test_the_examples_of_options_are_taken(tmp_path: Path) -> None:
    text = settings_table.OPTIONS.read_text()
    file = tmp_path / "server.toml"
    file.write_text(text.partition("```toml\n")[2].partition("```")[0])
    options = Sources({"config": str(file), "drain_timeout": 60.0}, {"ACTORRPC_HUBS": "4"}).read()
    assert [options.values[name] for name in ("bind", "hubs", "drain_timeout")] == [
        ("0.0.0.0:50051", "unix:/run/app/grpc.sock"),
        4,
        60.0,
    ]
    for fault, error in (("max_conections = 1", "did you mean"), ("hubs = 'four'", "whole number")):
        file.write_text(fault)
        with pytest.raises(ConfigError, match=error) as caught:
            Sources({"config": str(file)}, {}).read()
        assert str(caught.value).replace(str(file), "server.toml") in text


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
