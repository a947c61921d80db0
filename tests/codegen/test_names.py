"""Names: the modules that protoc makes of files, and imports that hide nothing and are not hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorrpc.codegen.names import Imports, is_importable, is_plain, module_name
from tests.support.processes import python

FILES = {
    "chat.proto": "chat_pb2",
    "shop/api/v1/cart.proto": "shop.api.v1.cart_pb2",
    "dash-ed/my-file.proto": "dash_ed.my_file_pb2",
    "class/import.proto": "class.import_pb2",
    "dotted.name.proto": "dotted.name_pb2",
    "old.protodevel": "old_pb2",
    "other.ending": "other.ending_pb2",
    "proto.proto/x.proto": "proto.proto.x_pb2",
    "1.proto": "1_pb2",
}


@pytest.mark.parametrize(("proto", "module"), FILES.items())
def test_module_name(proto: str, module: str) -> None:
    assert module_name(proto, "_pb2") == module


def test_modules_are_where_protoc_puts_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for proto in FILES:
        file = tmp_path / "in" / proto
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('syntax = "proto3";')
    done = python("-m", "grpc_tools.protoc", f"-I{tmp_path / 'in'}", f"--python_out={out}", *FILES)
    assert done.returncode == 0, done.stderr
    made = {str(path.relative_to(out)) for path in out.rglob("*.py")}
    assert made == {f"{module.replace('.', '/')}.py" for module in FILES.values()}


@pytest.mark.parametrize("name", ["Join", "print", "match", "_", "_one", "__rpc__", "ünï"])
def test_plain_names(name: str) -> None:
    assert is_plain(name)


@pytest.mark.parametrize("name", ["class", "None", "import", "__private", "1st", "a-b", ""])
def test_names_that_need_getattr(name: str) -> None:
    assert not is_plain(name)


def test_one_bad_part_makes_a_module_unimportable() -> None:
    assert is_importable("shop.api.cart_pb2")
    assert not is_importable("shop.class.cart_pb2")


def test_an_import_has_one_name() -> None:
    imports = Imports([])
    assert imports.use("a.b_pb2") == imports.use("a.b_pb2") == "b_pb2"
    assert imports.blocks() == [["from a import b_pb2"]]


def test_the_second_module_of_a_name_is_called_by_its_path() -> None:
    imports = Imports([])
    names = [imports.use(path) for path in ("a.b_pb2", "c.b_pb2", "b_pb2", "c_b_pb2")]
    assert names == ["b_pb2", "c_b_pb2", "b_pb2_", "c_b_pb2_"]
    assert imports.blocks() == [
        [
            "import b_pb2 as b_pb2_",
            "import c_b_pb2 as c_b_pb2_",
            "from a import b_pb2",
            "from c import b_pb2 as c_b_pb2",
        ]
    ]


def test_an_import_gives_way_to_what_classes_define() -> None:
    imports = Imports(["actorrpc", "Any", "typing_Any"])
    assert imports.use("actorrpc") == "actorrpc_"
    assert imports.use("typing.Any") == "typing_Any_"


def test_blocks_are_sorted_and_apart() -> None:
    imports = Imports(["importlib"])
    for path in ("z.b_pb2", "class.x_pb2", "actorrpc", "typing.Any", "a.1_pb2", "a.__c_pb2"):
        imports.use(path)
    assert imports.blocks() == [
        ["import importlib as importlib_", "from typing import Any"],
        ["import actorrpc", "from z import b_pb2"],
        [
            '_1_pb2 = importlib_.import_module("a.1_pb2")',
            'c_pb2 = importlib_.import_module("a.__c_pb2")',
            'x_pb2 = importlib_.import_module("class.x_pb2")',
        ],
    ]


def test_fresh_names_differ() -> None:
    imports = Imports(["a", "b", "b_"])
    assert [imports.fresh("a", "c"), imports.fresh("a", "b"), imports.fresh("c")] == ["c", "b__", "c_"]
