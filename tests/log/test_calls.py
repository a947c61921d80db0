"""What calls that log must keep to, for the filters to hold for all of them; read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import actorrpc
from actorrpc.log import LOGGERS

PACKAGE = Path(actorrpc.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.endswith("_pb2"))
every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))

LEVELS = {"info", "warning", "error", "exception", "critical"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """What is called, as it is written, and the call."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@every_source
def test_a_logger_is_one_of_those_that_have_filters(path: Path) -> None:
    for function, call in calls(path):
        if function.endswith("getLogger") and PACKAGE / "log" not in path.parents:
            assert ast.literal_eval(call.args[0]) in LOGGERS, f"line {call.lineno}"


@every_source
def test_a_line_has_a_template(path: Path) -> None:
    """It says what kind the line is: an f-string would be another each time, and may hold anything."""
    for function, call in calls(path):
        *_, logger, method = ["", *function.split(".")]
        if logger.lstrip("_") == "log" and method in LEVELS:
            template = call.args[0]
            assert isinstance(template, ast.Constant), f"line {call.lineno}"
            assert isinstance(template.value, str) and template.value.isprintable(), f"line {call.lineno}"


#: What runs in a hub or a broker.
SERVES = ("broker", "handoff", "hub", "interceptor.py", "ipc.py", "wire")
PRINTS = {"print", "sys.stderr.write", "traceback.print_exc"}


@every_source
def test_nothing_is_printed_where_it_could_block(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] in SERVES:
        assert not {function for function, _ in calls(path)} & PRINTS
