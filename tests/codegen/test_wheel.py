"""A wheel of this tree holds what code generation needs, as regular files, and works where it is unpacked."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.wheel import build_wheel

TREE = Path(__file__).parents[2]
PROTO = """
syntax = "proto3";
import "actorrpc/options.proto";
import "actorrpc/ref.proto";
message M { string key = 1; }
service S {
  option (actorrpc.actor) = { state: "M" scope: KEY key: "key" };
  rpc Do(M) returns (actorrpc.ActorRef);
}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize(
    "name",
    [
        "actorrpc/py.typed",
        "actorrpc/options_pb2.py",
        "actorrpc/options_pb2.pyi",
        "actorrpc/ref_pb2.py",
        "actorrpc/ref_pb2.pyi",
        "actorrpc/pb/snapshot_pb2.py",
        "actorrpc/pb/snapshot_pb2.pyi",
        "actorrpc/protoc.py",
        "actorrpc/codegen/plugin.py",
        "actorrpc/client/channel.py",
    ],
)
def test_it_holds(name: str, wheel: Path) -> None:
    assert name in ZipFile(wheel).namelist()


def test_it_holds_every_generated_module(wheel: Path) -> None:
    generated = {
        str(path.relative_to(TREE))
        for path in (TREE / "actorrpc").rglob("*_pb2.py*")
        if path.suffix != ".pyc"
    }
    assert generated <= set(ZipFile(wheel).namelist())


@pytest.mark.parametrize("proto", ["options.proto", "ref.proto"])
def test_what_users_import_is_a_regular_file(proto: str, wheel: Path) -> None:
    """In the tree it is a link to ``protos``, which no wheel has."""
    archive = ZipFile(wheel)
    entry = archive.getinfo(f"actorrpc/include/actorrpc/{proto}")
    assert stat.S_ISREG(entry.external_attr >> 16)
    assert archive.read(entry) == (TREE / "protos" / "actorrpc" / proto).read_bytes()


def test_it_names_the_plugin(wheel: Path) -> None:
    archive = ZipFile(wheel)
    (entry,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
    assert "protoc-gen-actorrpc = actorrpc.codegen.plugin:main" in archive.read(entry).decode()


def test_it_generates_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    ZipFile(wheel).extractall(site)
    (tmp_path / "s.proto").write_text(PROTO)
    done = subprocess.run(
        [sys.executable, "-m", "actorrpc.protoc", "--out", "out", "s.proto"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "s_actorrpc.py").is_file()
