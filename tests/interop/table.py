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
from typing import Any, NamedTuple

import pytest

from tests.interop.cases import CASES, CLIENTS, NOT_APPLICABLE, NOTES
from tests.interop.conftest import MODES, SECURE

DOCS = Path(__file__).parents[2] / "docs" / "evidence" / "interop.md"
BEGIN, END = "<!-- results -->\n", "<!-- end -->\n"

FOLDER = Path(__file__).parent
CASES_FILE = FOLDER / "test_cases.py"
#: Those with tools that know no gRPC.
TOOLS = ["test_http2", "test_openssl"]

#: What the columns of a test differ in: how its connections are secured, and whether they move.
COLUMNS = [(secure, mode) for secure in SECURE for mode in MODES]
TITLES = [", ".join(column) for column in COLUMNS]

#: A cell's results, one for each of its parametrizations; the key ends with its column.
Results = dict[tuple[str, ...], list[str]]


class Collector:
    """A pytest plugin that keeps each test's outcome: by client, case and column, or by test and column."""

    def __init__(self) -> None:
        self.results: Results = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" or not report.passed:
            parameters = item.callspec.params if hasattr(item, "callspec") else {}
            column = _named(SECURE, parameters.get("secure")), _named(MODES, parameters.get("mode"))
            key: tuple[str, ...]
            if "case" in parameters:
                key = (parameters["client"], parameters["case"], *column)
            else:
                key = (item.originalname, *column)
            self.results.setdefault(key, []).append(report.outcome)
        return report


def _named(values: dict[str, Any], value: Any) -> str:
    return next((name for name, each in values.items() if each == value), "")


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


class Tool(NamedTuple):
    """A test with a tool that knows no gRPC."""

    name: str
    proves: str
    #: In which of ``SECURE`` it has a meaning.
    secure: list[str]


def tool_tests() -> dict[str, Tool]:
    tests = {}
    for module in TOOLS:
        for name, test in vars(importlib.import_module(f"tests.interop.{module}")).items():
            if name.startswith("test_"):
                tests[name] = Tool(name.split("_")[1], (inspect.getdoc(test) or "").strip(), _secure(test))
    return tests


def _secure(test: Any) -> list[str]:
    of_module = getattr(inspect.getmodule(test), "pytestmark", ())
    for mark in (*getattr(test, "pytestmark", ()), *of_module):
        if mark.name == "parametrize" and mark.args[0] == "secure":
            return [_named(SECURE, value) for value in mark.args[1]]
    return list(SECURE)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def cases_table(results: Results) -> list[str]:
    """Case by client, each cell with all columns."""
    notes = Footnotes()
    lines = [row("case", "what it proves", *CLIENTS), "|---" * (len(CLIENTS) + 2) + "|"]
    for name, case in CASES.items():
        cells = []
        for client in CLIENTS:
            if reason := NOT_APPLICABLE.get((client, name)):
                cells.append("n/a" + notes.mark(reason))
            else:
                words = [cell(results.get((client, name, *column), ())) for column in COLUMNS]
                cells.append(" / ".join(words) + notes.mark(NOTES.get((client, name))))
        lines.append(row(f"`{name}`", case.proves, *cells))
    return [*lines, "", *notes.lines()]


def tools_table(results: Results) -> list[str]:
    lines = [row("tool", "what it proves", *TITLES), "|---" * (len(TITLES) + 2) + "|"]
    for name, tool in tool_tests().items():
        words = [
            cell(results.get((name, secure, mode)) or results.get((name, secure, "")) or ())
            if secure in tool.secure
            else "n/a"
            for secure, mode in COLUMNS
        ]
        lines.append(row(tool.name, tool.proves, *words))
    return lines


def tables(results: Results) -> str:
    clients = f"Each cell says how it went: {' / '.join(TITLES)}."
    return "\n".join([clients, "", *cases_table(results), "", *tools_table(results), ""])


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
        status = pytest.main(
            ["-q", str(CASES_FILE), *(str(FOLDER / f"{tool}.py") for tool in TOOLS)], plugins=[collector]
        )
    text = tables(collector.results)
    print(text, end="")
    if arguments.write:
        write(text)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
