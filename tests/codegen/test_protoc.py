"""``python -m actorrpc.protoc``: what it reads, what it writes, and what it leaves alone."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from actorrpc.protoc import INCLUDE, main
from tests.support.processes import ROOT, python

SERVICE = 'syntax = "proto3"; message M {} service S { rpc Do(M) returns (M); }'
MESSAGES = 'syntax = "proto3"; message N {}'
WRITTEN = {"a_pb2.py", "a_pb2.pyi", "a_actorrpc.py"}


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "protos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.proto").write_text(SERVICE)
    (folder / "deep" / "b.proto").write_text(MESSAGES)
    return folder


def test_it_writes_all_at_once_and_makes_folders(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "not" / "yet"
    done = python("-m", "actorrpc.protoc", "-I", source, "--out", out, "a.proto", "deep/b.proto")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert names(out) == WRITTEN | {"deep/b_pb2.py", "deep/b_pb2.pyi"}


def test_files_are_looked_for_in_the_current_folder(source: Path) -> None:
    done = python("-m", "actorrpc.protoc", "--out", ".", "a.proto", cwd=source)
    assert done.returncode == 0, done.stderr
    assert names(source) >= WRITTEN


def test_files_may_be_given_by_their_path(source: Path, tmp_path: Path) -> None:
    done = python("-m", "actorrpc.protoc", f"-I{source}", "--out", tmp_path / "out", source / "a.proto")
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == WRITTEN


def test_folders_are_searched_in_turn(source: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.proto").write_text(
        'syntax = "proto3"; import "deep/b.proto"; message C { N n = 1; }'
    )
    done = python(
        "-m",
        "actorrpc.protoc",
        "-I",
        tmp_path / "more",
        f"--proto_path={source}",
        "--out",
        tmp_path / "out",
        "c.proto",
    )
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == {"c_pb2.py", "c_pb2.pyi"}


def test_no_script_need_be_on_the_path(source: Path, tmp_path: Path) -> None:
    done = python(
        *("-m", "actorrpc.protoc", "-I", source, "--out", tmp_path / "out", "a.proto"),
        environment={"PATH": "/nowhere"},
    )
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == WRITTEN


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no PYTHONSAFEPATH")
def test_modules_in_the_current_folder_are_not_imported(source: Path, tmp_path: Path) -> None:
    """The console script ``actorrpc protoc`` does not look there, and what it starts must not either."""
    (tmp_path / "typing.py").write_text("raise SystemExit('imported')")
    script = tmp_path / "script"
    script.mkdir()
    (script / "actorrpc-protoc").write_text("from actorrpc.protoc import main; main()")
    done = python(
        *(script / "actorrpc-protoc", "-I", source, "--out", "out", "a.proto"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == WRITTEN


def test_a_failure_leaves_everything_as_it_was(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_pb2.py").write_text("old")
    (source / "bad.proto").write_text(
        'syntax = "proto3"; message O {} service __Bad { rpc Do(O) returns (O); }'
    )
    done = python("-m", "actorrpc.protoc", "-I", source, "--out", out, "a.proto", "bad.proto")
    assert done.returncode == 2
    assert "bad.proto:1:33: __Bad: " in done.stderr
    assert names(out) == {"a_pb2.py"}
    assert (out / "a_pb2.py").read_text() == "old"


def test_files_are_replaced_at_once(source: Path, tmp_path: Path) -> None:
    """Whoever has the old file open goes on reading the old file."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_actorrpc.py").write_text("old")
    with (out / "a_actorrpc.py").open() as reader:
        done = python("-m", "actorrpc.protoc", "-I", source, "--out", out, "a.proto")
        assert done.returncode == 0, done.stderr
        assert reader.read() == "old"
    assert names(out) == WRITTEN


def test_warnings_of_protoc_are_shown(source: Path, tmp_path: Path) -> None:
    (source / "c.proto").write_text('syntax = "proto3"; import "a.proto";')
    done = python("-m", "actorrpc.protoc", "-I", source, "--out", tmp_path / "out", "c.proto")
    assert done.returncode == 0
    assert "warning: Import a.proto is unused." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'PROTO...'"),
        (["a.proto"], "Missing option '--out'"),
        (["--out", __file__, "a.proto"], "is a file"),
        (["--out", "out", "nope.proto"], "nope.proto: "),
        (["--grpc", "a.proto"], "No such option"),
    ],
)
def test_bad_arguments(arguments: list[str], said: str, source: Path) -> None:
    done = python("-m", "actorrpc.protoc", *arguments, cwd=source)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = python("-m", "actorrpc.protoc", "-I", source, "--out", tmp_path / "file" / "out", "a.proto")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: cannot write: ")
    assert done.stderr.count("\n") == 1


def test_help_says_what_it_writes() -> None:
    shown = CliRunner().invoke(main, ["--help"])
    assert shown.exit_code == 0
    for word in ("X_actorrpc.py", "X_pb2.pyi", "--out DIR", "--include", "-I", "Example"):
        assert word in shown.output


def test_the_include_folder_is_printed() -> None:
    done = python("-m", "actorrpc.protoc", "--include")
    assert (done.returncode, done.stdout) == (0, f"{INCLUDE}\n")
    assert (INCLUDE / "actorrpc" / "options.proto").is_file()
    assert ROOT in INCLUDE.parents


def test_without_grpcio_tools_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    shown = CliRunner().invoke(main, ["--out", "out", "a.proto"])
    assert shown.exit_code == 2
    assert shown.output == "Error: grpcio-tools is not installed: pip install actorrpc[tools]\n"
