"""Folders that are named like modules of others: there is a warning for each, and for no other."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from actorrpc.codegen.folders import warnings
from tests.support.processes import python

from .programs import by_command, by_plugin

PROTO = 'syntax = "proto3"; message M {} service S { rpc Do(M) returns (M); }'


def warning(folder: str, whose: str) -> str:
    name = folder.replace("/", ".")
    return (
        f"warning: {folder}/: what is generated there cannot be imported, since Python finds {whose} "
        f"`{name}` instead; rename the folder, or move it into one whose name is your own"
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    folder = tmp_path / "site-packages"
    for name in ("whole/__init__.py", "space/part/__init__.py", "space/module.py", "single.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.syspath_prepend(folder)
    return folder


def write(folder: Path, *protos: str) -> None:
    for proto in protos:
        (folder / proto).parent.mkdir(parents=True, exist_ok=True)
        (folder / proto).write_text(PROTO)


@pytest.mark.parametrize(
    ("proto", "hidden", "whose"),
    [
        ("types/a.proto", "types", "the standard library's"),
        ("io/deep/a.proto", "io", "the standard library's"),
        ("sys/a.proto", "sys", "the standard library's"),
        ("grpc/a.proto", "grpc", "the installed"),
        ("google/protobuf/a.proto", "google/protobuf", "the installed"),
        ("whole/deep/er/a.proto", "whole", "the installed"),
        ("single/a.proto", "single", "the installed"),
        ("space/part/a.proto", "space/part", "the installed"),
        ("space/module/a.proto", "space/module", "the installed"),
    ],
)
def test_what_python_would_not_find(proto: str, hidden: str, whose: str, site: Path, tmp_path: Path) -> None:
    assert warnings([proto], tmp_path) == [warning(hidden, whose)]


@pytest.mark.skipif(find_spec("test") is None, reason="this Python comes without its tests")
def test_the_tests_of_python(tmp_path: Path) -> None:
    """``sys.stdlib_module_names`` leaves them out."""
    assert warnings(["test/a.proto"], tmp_path) == [warning("test", "the standard library's")]


@pytest.mark.parametrize(
    "proto",
    [
        "a.proto",
        "types.proto",  # types_pb2
        "free/a.proto",
        "free/types/a.proto",
        "google/a.proto",  # a namespace, as long as nobody gives it an __init__.py
        "space/other/a.proto",
        "space/part.proto",
        "__main__/a.proto",
    ],
)
def test_what_python_finds(proto: str, site: Path, tmp_path: Path) -> None:
    assert warnings([proto], tmp_path) == []


def test_a_folder_is_named_once(site: Path, tmp_path: Path) -> None:
    protos = ["whole/b.proto", "types/a.proto", "whole/a.proto", "whole/deep/a.proto"]
    expected = [warning("types", "the standard library's"), warning("whole", "the installed")]
    assert warnings(protos, tmp_path) == expected


def test_the_output_s_own_package_is_fine(site: Path, tmp_path: Path) -> None:
    """It hides the copy that is installed, where it comes first."""
    (tmp_path / "whole").mkdir()
    assert warnings(["whole/a.proto"], tmp_path)
    (tmp_path / "whole" / "__init__.py").touch()
    assert warnings(["whole/a.proto"], tmp_path) == []


def test_a_package_that_is_not_installed_is_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a project is installed so that it can be edited, and its folder is on the path."""
    (tmp_path / "src" / "shop").mkdir(parents=True)
    (tmp_path / "src" / "shop" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "src")
    assert warnings(["shop/a.proto"], tmp_path / "elsewhere") == []


@pytest.mark.parametrize("folder", ["grpc", "types", "google/protobuf"])
def test_python_really_does_not_find_it(folder: str, tmp_path: Path) -> None:
    write(tmp_path / "in", f"{folder}/a.proto")
    done = by_command(tmp_path / "in", tmp_path / "out", f"{folder}/a.proto")
    whose = "the standard library's" if folder == "types" else "the installed"
    assert (done.returncode, done.stderr) == (0, f"protoc-gen-actorrpc: {warning(folder, whose)}\n")
    assert (tmp_path / "out" / folder / "a_actorrpc.py").is_file()
    tried = python("-c", f"import {folder.replace('/', '.')}.a_actorrpc", path=[tmp_path / "out"])
    assert "ModuleNotFoundError" in tried.stderr


def test_python_finds_a_part_of_a_namespace(tmp_path: Path) -> None:
    write(tmp_path / "in", "google/own/a.proto")
    done = by_command(tmp_path / "in", tmp_path / "out", "google/own/a.proto")
    assert (done.returncode, done.stderr) == (0, "")
    tried = python("-c", "import google.own.a_actorrpc", path=[tmp_path / "out"])
    assert (tried.returncode, tried.stderr) == (0, "")


def test_the_command_knows_where_it_writes(tmp_path: Path) -> None:
    write(tmp_path / "in", "grpc_tools/a.proto")
    (tmp_path / "it's out" / "grpc_tools").mkdir(parents=True)
    (tmp_path / "it's out" / "grpc_tools" / "__init__.py").touch()
    done = by_command(tmp_path / "in", tmp_path / "it's out", "grpc_tools/a.proto")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_plugin_warns_too(tmp_path: Path) -> None:
    write(tmp_path / "in", "grpc/a.proto")
    done = by_plugin(tmp_path / "in", tmp_path / "out", "grpc/a.proto")
    assert (done.returncode, done.stderr) == (
        0,
        f"protoc-gen-actorrpc: {warning('grpc', 'the installed')}\n",
    )


def test_nothing_is_imported_to_find_out(site: Path, tmp_path: Path) -> None:
    (site / "whole" / "__init__.py").write_text("raise SystemExit('imported')")
    assert warnings(["whole/deep/a.proto"], tmp_path)
    assert "whole" not in sys.modules
