"""An app that does not import is told where, and what makes a generated module that is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorrpc.app import load
from actorrpc.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, source in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def refusal(app: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(app)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"top.py": "\n\nmissing()"}, "NameError: name 'missing' is not defined (top.py, line 3)"),
        (
            {"top.py": "import lower", "lower.py": "import json\n\njson.loads('{')"},
            "line 1 column 2 (char 1) (lower.py, line 3; imported from top.py, line 1)",
        ),
        (
            {"top.py": "from pack.lower import f\n\nf()", "pack/lower.py": "def f():\n    1 / 0"},
            "ZeroDivisionError: division by zero (pack/lower.py, line 2, in f; called from top.py, line 3)",
        ),
        (
            {"top.py": "import lower", "lower.py": "x = (\ny = 2"},
            " (lower.py, line 1; imported from top.py, line 1)",
        ),
        (
            {"top.py": "import a", "a.py": "import b", "b.py": "import c", "c.py": "import d", "d.py": "x"},
            "(d.py, line 1; imported from c.py, line 1; imported from b.py, line 1)",
        ),
        ({"top.py": "import nowhere_at_all"}, "No module named 'nowhere_at_all' (top.py, line 1)"),
        (
            {"top.py": "import sys\nsys.path.append('env/site-packages')\nimport lib",
             "env/site-packages/lib.py": "x"},
            "NameError: name 'x' is not defined (top.py, line 3)",
        ),
    ],
    ids=["top", "lower", "called", "syntax", "deep", "missing", "a library's"],
)  # fmt: skip
def test_where_it_was_raised_is_said(folder, files, said):
    write(folder, files)
    line = refusal("top:app")
    assert line.startswith("app 'top:app' does not import: ")
    assert line.endswith(said)


def test_in_an_app_that_is_installed_as_well(folder, monkeypatch):
    write(folder, {"env/site-packages/top.py": "\nx"})
    monkeypatch.syspath_prepend(folder / "env" / "site-packages")
    assert refusal("top:app").endswith("(env/site-packages/top.py, line 2)")


def test_where_a_module_was_looked_for(folder):
    assert refusal("nowhere_at_all:app").endswith(
        f" (in the working directory, {folder}, and where Python looks)"
    )


@pytest.mark.parametrize(
    ("given", "module"),
    [
        ("top.py", "top"),
        ("./top.py", "top"),
        ("pack/lower.py", "pack.lower"),
        ("pack/lower", "pack.lower"),
    ],
)
def test_who_gives_a_file_is_told_the_module(folder, given, module):
    write(folder, {"top.py": "", "pack/lower.py": ""})
    assert refusal(f"{given}:app").endswith(f": a module is wanted, not a file: try {module}:app")


def test_a_module_may_be_called_py(folder):
    write(folder, {"pack.py": "", "other/py.py": "\nx"})
    assert refusal("other.py:app").endswith("NameError: name 'x' is not defined (other/py.py, line 2)")


PROTO = 'syntax = "proto3"; message M {} service S { rpc Get(M) returns (M); }'


@pytest.mark.parametrize(
    ("source", "proto", "arguments"),
    [
        ("import hello_pb2", "hello.proto", "-I . --out . hello.proto"),
        ("from hello_actorrpc import SBase", "hello.proto", "-I . --out . hello.proto"),
        ("from pack import hello_pb2", "pack/hello.proto", "-I . --out . pack/hello.proto"),
        ("import pack.hello_actorrpc", "pack/hello.proto", "-I . --out . pack/hello.proto"),
        ("import hello_pb2", "my protos/hello.proto", "-I 'my protos' --out . hello.proto"),
        ("import my_hello_pb2", "protos/my-hello.proto", "-I protos --out . my-hello.proto"),
        ("import hello_pb2", "lib/hello.proto", "-I lib --out lib hello.proto"),
    ],
)
def test_a_generated_module_that_is_missing_names_the_command(folder, source, proto, arguments):
    write(
        folder, {"top.py": f"import sys; sys.path.append('lib')\n{source}", proto: PROTO, "pack/other.py": ""}
    )
    line = refusal("top:app")
    assert line.endswith(f"(top.py, line 2): `python -m actorrpc.protoc {arguments}` makes it")


def test_the_command_makes_it(folder):
    write(folder, {"top.py": "import hello_pb2, hello_actorrpc", "protos/hello.proto": PROTO})
    command = refusal("top:app").split("`")[1].replace("python", sys.executable, 1)
    subprocess.run(command, shell=True, check=True)
    assert (folder / "hello_pb2.py").exists() and (folder / "hello_actorrpc.py").exists()


@pytest.mark.parametrize("source", ["import hello_pb2", "from json import hello_pb2", "import hello"])
def test_without_its_proto_there_is_no_command(folder, source):
    write(folder, {"top.py": source, "node_modules/hello.proto": PROTO, ".git/hello.proto": PROTO})
    assert "protoc" not in refusal("top:app")


def test_a_proto_elsewhere_on_the_path_is_found(folder, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere, {"hello.proto": PROTO})
    monkeypatch.setattr(sys, "path", [*sys.path, str(elsewhere)])
    write(folder, {"top.py": "import hello_pb2"})
    assert f"protoc -I {elsewhere} --out {elsewhere} hello.proto`" in refusal("top:app")
