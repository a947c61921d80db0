"""``actorrpc/options.proto`` for other languages' generators, and that the wire has not changed with it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from actorrpc import options_pb2
from actorrpc.protoc import INCLUDE
from tests.support.processes import python

from .test_docs import TEXT, blocks


def described() -> FileDescriptorProto:
    file = FileDescriptorProto()
    options_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def test_each_language_knows_where_the_options_belong() -> None:
    options = described().options
    assert options.go_package == "actorrpc/options;options"
    assert (options.java_package, options.java_outer_classname) == ("actorrpc.options", "OptionsProto")
    assert options.java_multiple_files
    assert options.csharp_namespace == "Actorrpc.Options"
    assert options.objc_class_prefix == "ARPC"


def test_nobody_can_publish_the_go_package() -> None:
    """What is fetched begins with a domain, and a program without ``M`` would run what is fetched."""
    assert "." not in described().options.go_package.partition("/")[0]


def test_the_committed_module_is_made_of_the_file(tmp_path: Path) -> None:
    descriptors = tmp_path / "options"
    arguments = [f"-I{INCLUDE}", f"--descriptor_set_out={descriptors}", "actorrpc/options.proto"]
    done = python("-m", "grpc_tools.protoc", *arguments)
    assert done.returncode == 0, done.stderr
    (file,) = FileDescriptorSet.FromString(descriptors.read_bytes()).file
    for field in (*file.message_type[0].field, *file.extension):
        field.ClearField("json_name")  # which generated modules leave out
    assert file == described()


def test_the_wire_is_as_it_was() -> None:
    file = described()
    assert (file.package, [extension.number for extension in file.extension]) == ("actorrpc", [51284])
    (message,) = file.message_type
    assert [(field.name, field.number) for field in message.field] == [("state", 1), ("scope", 2)]
    assert [(value.name, value.number) for value in file.enum_type[0].value] == [
        ("CONNECTION", 0),
        ("KEY", 1),
    ]
    known = options_pb2.ActorOptions(state="chat.Session", scope=options_pb2.KEY)
    assert known.SerializeToString(deterministic=True) == b"\n\x0cchat.Session\x10\x01"


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
