"""What suites borrow from each other is in ``tests/support``: none imports from another's folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import ROOT

TESTS = Path(__file__).parent
#: What all may import of, and what that may import of itself.
SHARED = {"apps": {"apps"}, "support": {"apps", "support"}}


def suite(module: tuple[str, ...]) -> str:
    """The folder of tests that a module is in; "" if it is in none."""
    _, *folders = module
    return folders[0] if folders and (TESTS / folders[0]).is_dir() else ""


def module_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT).with_suffix("").parts


def imports(path: Path) -> Iterator[tuple[str, ...]]:
    """The modules of tests that a source imports, wherever in it."""
    own = module_of(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = own[: -node.level] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            found = [(*module, alias.name) for alias in node.names]
        else:
            continue
        yield from (name for name in found if name[0] == "tests")


def test_a_suite_imports_from_its_own_folder_and_what_is_shared() -> None:
    strangers, count = [], 0
    for path in sorted(TESTS.rglob("*.py")):
        own = suite(module_of(path))
        for name in imports(path):
            count += 1
            if suite(name) not in SHARED.get(own, {own, *SHARED}):
                strangers.append(f"{path.relative_to(TESTS)}: {'.'.join(name)}")
    assert count > 1000, "they are found"
    assert strangers == [], "what suites borrow from each other goes to tests/support"
