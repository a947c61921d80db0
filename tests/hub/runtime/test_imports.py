"""What is done as soon as a module has been imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actorrpc.hub.runtime.imports import when_imported

NAME = "imported_by_tests"
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write the module. What is imported here is forgotten afterwards, and the finders are as they were."""
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> None:
        (tmp_path / f"{NAME}.py").write_text(text)
        importlib.invalidate_caches()

    yield write
    sys.modules.pop(NAME, None)


@pytest.fixture
def seen() -> list[object]:
    return []


def test_once_when_it_has_been_imported(write: Write, seen: list[object]) -> None:
    write("value = 1")
    finders = [*sys.meta_path]
    when_imported(NAME, lambda: seen.append(sys.modules[NAME].value))
    assert seen == []
    module = importlib.import_module(NAME)
    assert seen == [1]
    assert sys.meta_path == finders
    assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
    importlib.reload(module)
    assert seen == [1]


def test_at_once_where_it_is_there(write: Write, seen: list[object]) -> None:
    write("")
    importlib.import_module(NAME)
    finders = [*sys.meta_path]
    when_imported(NAME, lambda: seen.append(1))
    assert seen == [1]
    assert sys.meta_path == finders


def test_who_looks_for_a_module_does_not_import_it(write: Write, seen: list[object]) -> None:
    when_imported(NAME, lambda: seen.append(1))
    assert importlib.util.find_spec(NAME) is None
    write("")
    assert importlib.util.find_spec(NAME) is not None
    assert seen == []
    importlib.import_module(NAME)
    assert seen == [1]


def test_an_import_that_fails_is_none(write: Write, seen: list[object]) -> None:
    when_imported(NAME, lambda: seen.append(1))
    write("1 / 0")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(NAME)
    assert seen == []
    write("")
    importlib.import_module(NAME)
    assert seen == [1]


def test_nobody_has_the_module_before(write: Write, seen: list[object]) -> None:
    """Another thread that imports it meanwhile waits."""
    write("")
    others: list[threading.Thread] = []

    def then() -> None:
        other = threading.Thread(target=lambda: (importlib.import_module(NAME), seen.append("other")))
        others.append(other)
        other.start()
        other.join(0.1)
        seen.append("then")

    when_imported(NAME, then)
    importlib.import_module(NAME)
    others[0].join()
    assert seen == ["then", "other"]
