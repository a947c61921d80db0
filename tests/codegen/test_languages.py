"""The .proto files that users import, for other languages' generators, and that the wire has not changed with
them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

import actorrpc
from actorrpc import options_pb2, ref_pb2
from actorrpc.protoc import INCLUDE
from tests.support.processes import python

from .test_docs import TEXT, blocks


def described(module: ModuleType = options_pb2) -> FileDescriptorProto:
    file = FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


@pytest.mark.parametrize(("module", "name"), [(options_pb2, "options"), (ref_pb2, "ref")])
def test_each_language_knows_where_the_files_belong(module: ModuleType, name: str) -> None:
    options = described(module).options
    assert options.go_package == f"actorrpc/{name};{name}"
    assert options.java_package == f"actorrpc.{name}"
    assert options.java_outer_classname == f"{name.title()}Proto"
    assert options.java_multiple_files
    assert options.csharp_namespace == f"Actorrpc.{name.title()}"
    assert options.objc_class_prefix == "ARPC"


@pytest.mark.parametrize("module", [options_pb2, ref_pb2], ids=lambda module: module.DESCRIPTOR.name)
def test_nobody_can_publish_the_go_package(module: ModuleType) -> None:
    """What is fetched begins with a domain, and a program without ``M`` would run what is fetched."""
    assert "." not in described(module).options.go_package.partition("/")[0]


@pytest.mark.parametrize("module", [options_pb2, ref_pb2], ids=lambda module: module.DESCRIPTOR.name)
def test_the_committed_module_is_made_of_the_file(module: ModuleType, tmp_path: Path) -> None:
    descriptors = tmp_path / "descriptors"
    arguments = [f"-I{INCLUDE}", f"--descriptor_set_out={descriptors}", module.DESCRIPTOR.name]
    done = python("-m", "grpc_tools.protoc", *arguments)
    assert done.returncode == 0, done.stderr
    (file,) = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    for field in (*file.message_type[0].field, *file.extension):
        field.ClearField("json_name")  # which generated modules leave out
    assert file == described(module)


def test_the_wire_is_as_it_was() -> None:
    file = described()
    assert (file.package, [extension.number for extension in file.extension]) == ("actorrpc", [51284])
    (message,) = file.message_type
    assert {field.name: field.number for field in message.field} == {
        "state": 1, "scope": 2, "key": 3, "key_from": 4, "idle": 5, "always": 6,
    }  # fmt: skip
    assert {enum.name: {value.name: value.number for value in enum.value} for enum in file.enum_type} == {
        "Scope": {"CONNECTION": 0, "KEY": 1},
        "KeyFrom": {"METADATA": 0, "IDENTITY": 1},
    }
    known = options_pb2.ActorOptions(
        state="chat.Session",
        scope=options_pb2.KEY,
        key="room",
        key_from=options_pb2.IDENTITY,
        idle=0,
        always=["lobby"],
    )
    assert known.SerializeToString(deterministic=True) == (
        b"\n\x0cchat.Session\x10\x01\x1a\x04room\x20\x01\x28\x00\x32\x05lobby"
    )


def test_the_wire_of_a_reference_is_as_it_was() -> None:
    file = described(ref_pb2)
    assert file.package == "actorrpc"
    (message,) = file.message_type
    assert (message.name, {field.name: field.number for field in message.field}) == (
        "ActorRef",
        {"service": 1, "key": 2, "connection": 3, "server": 4, "identity": 5, "seal": 6},
    )
    known = actorrpc.ActorRef(
        service="chat.Room", key="lobby", connection="0-1-2", server=b"\xff", identity="ada", seal=b"\0"
    )
    assert known.SerializeToString(deterministic=True) == (
        b"\n\x09chat.Room\x12\x05lobby\x1a\x050-1-2\x22\x01\xff\x2a\x03ada\x32\x01\0"
    )


@pytest.mark.skipif(
    None in map(shutil.which, ("protoc-gen-go", "protoc-gen-go-grpc")), reason="there are no plugins for Go"
)
def test_the_command_for_go(tmp_path: Path) -> None:
    (command,) = [text for text in blocks("console") if "--go_out" in text]
    include = "$(python -m actorrpc.protoc --include)"
    shell = command.removeprefix("$ ").replace("\\\n", "").replace(include, str(INCLUDE))
    program, *arguments = shlex.split(shell)
    assert program == "protoc"
    (proto,) = [block for block in blocks("proto") if block.startswith("syntax")]
    (package,) = re.findall(r"option go_package = .*?;", TEXT)
    (tmp_path / "protos").mkdir()
    (tmp_path / "protos" / "tally.proto").write_text(f"{proto}\n{package}\n")
    done = python("-m", "grpc_tools.protoc", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '_ "example.com/me/gen/actorrpc"' in (tmp_path / "gen" / "tally" / "tally.pb.go").read_text()
    assert "package options" in (tmp_path / "gen" / "actorrpc" / "options.pb.go").read_text()
    assert (tmp_path / "gen" / "tally" / "tally_grpc.pb.go").is_file()


@pytest.mark.skipif(shutil.which("protoc") is None, reason="there is no protoc but grpcio-tools'")
@pytest.mark.parametrize(
    ("language", "found"),
    [
        ("java", {"actorrpc/options/OptionsProto.java", "actorrpc/options/ActorOptions.java"}),
        ("csharp", {"Options.cs", "Tally.cs"}),
        ("cpp", {"actorrpc/options.pb.h", "tally.pb.h"}),
        ("ruby", {"actorrpc/options_pb.rb", "tally_pb.rb"}),
    ],
)
def test_languages_that_protoc_knows(language: str, found: set[str], tmp_path: Path) -> None:
    (proto,) = [block for block in blocks("proto") if block.startswith("syntax")]
    (tmp_path / "tally.proto").write_text(proto)
    out = tmp_path / "out"
    out.mkdir()
    folders = [f"-I{tmp_path}", f"-I{INCLUDE}"]
    command = ["protoc", *folders, f"--{language}_out={out}", "actorrpc/options.proto", "tally.proto"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert found <= {str(path.relative_to(out)) for path in out.rglob("*")}
