"""Runs every interoperability test and prints who can do what: ``python -m tests.interop.table [--write]``.

With ``--write`` the tables go into docs/evidence/interop.md, between its markers. The exit status is
pytest's own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import sys
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.cases import CASES, CLIENTS, NOT_APPLICABLE, NOTES
from tests.interop.conftest import MODES

DOCS = Path(__file__).parents[2] / "docs" / "evidence" / "interop.md"
BEGIN, END = "<!-- results -->\n", "<!-- end -->\n"

FOLDER = Path(__file__).parent
CASES_FILE, HTTP2_FILE = FOLDER / "test_cases.py", FOLDER / "test_http2.py"

#: A cell's results, one for each of its parametrizations.
Results = dict[tuple[str, ...], list[str]]


class Collector:
    """A pytest plugin that keeps the outcome of each test: by client, case and mode, or by test and mode."""

    def __init__(self) -> None:
        self.results: Results = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" or not report.passed:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            mode = next((name for name, options in MODES.items() if options == parameters.get("mode")), "")
            key: tuple[str, ...]
            if "case" in parameters:
                key = (parameters["client"], parameters["case"], mode)
            else:
                key = (item.originalname, mode)
            self.results.setdefault(key, []).append(report.outcome)
        return report


def cell(outcomes: Iterable[str]) -> str:
    """One word for the outcomes of one cell's tests, or of the parts of one test."""
    found = set(outcomes)
    if found == {"passed"}:
        return "pass"
    return "FAIL" if "failed" in found else "not run"


class Footnotes:
    """Numbered texts. The same text has the same number."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def mark(self, text: str | None) -> str:
        if text is None:
            return ""
        if text not in self._texts:
            self._texts.append(text)
        return f" [{self._texts.index(text) + 1}]"

    def lines(self) -> list[str]:
        return [f"{number}. {text}" for number, text in enumerate(self._texts, 1)]


def http2_tests() -> dict[str, tuple[str, str]]:
    """Each test with HTTP/2 tools: the tool, and what it proves."""
    module = importlib.import_module("tests.interop.test_http2")
    tests = {}
    for name, test in vars(module).items():
        if name.startswith("test_"):
            tests[name] = name.split("_")[1], (inspect.getdoc(test) or "").strip()
    return tests


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def cases_table(results: Results) -> list[str]:
    """Case by client, each cell "still / moved"."""
    notes = Footnotes()
    lines = [row("case", "what it proves", *CLIENTS), "|---" * (len(CLIENTS) + 2) + "|"]
    for name, case in CASES.items():
        cells = []
        for client in CLIENTS:
            if reason := NOT_APPLICABLE.get((client, name)):
                cells.append("n/a" + notes.mark(reason))
            else:
                words = [cell(results.get((client, name, mode), ())) for mode in MODES]
                cells.append(" / ".join(words) + notes.mark(NOTES.get((client, name))))
        lines.append(row(f"`{name}`", case.proves, *cells))
    return [*lines, "", *notes.lines()]


def http2_table(results: Results) -> list[str]:
    lines = [row("tool", "what it proves", *MODES), "|---" * (len(MODES) + 2) + "|"]
    for name, (tool, proves) in http2_tests().items():
        words = [cell(results.get((name, mode)) or results.get((name, "")) or ()) for mode in MODES]
        lines.append(row(tool, proves, *words))
    return lines


def tables(results: Results) -> str:
    clients = f"Each cell says how it went: {' / '.join(MODES)}."
    return "\n".join([clients, "", *cases_table(results), "", *http2_table(results), ""])


def written(document: str) -> str:
    """What stands between a document's markers."""
    return document.partition(BEGIN)[2].partition(END)[0]


def write(text: str) -> None:
    document = DOCS.read_text()
    before, _, rest = document.partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.interop.table", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the tables into docs/evidence/interop.md")
    arguments = parser.parse_args()
    collector = Collector()
    with contextlib.redirect_stdout(sys.stderr):
        status = pytest.main(["-q", str(CASES_FILE), str(HTTP2_FILE)], plugins=[collector])
    text = tables(collector.results)
    print(text, end="")
    if arguments.write:
        write(text)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
