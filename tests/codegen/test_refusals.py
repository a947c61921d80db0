"""What is refused: with one line that names the place, the service and the method, and nothing written."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actorrpc.codegen.plugin import respond

from .programs import by_command

HEAD = """\
syntax = "proto3";
package p;
import "actorrpc/options.proto";
message State { map<string, int32> counts = 1; }
message M {}
enum Colour { RED = 0; }
service S {
"""

# The body of the service, which begins in line 8, and the error.
REFUSED = {
    "no state": (
        "  option (actorrpc.actor) = {};",
        'bad.proto:8:3: p.S: the actor\'s state is missing; name a message, such as `state: "chat.Session"`',
    ),
    "empty state": (
        '  option (actorrpc.actor).state = "";',
        'bad.proto:8:3: p.S: the actor\'s state is missing; name a message, such as `state: "chat.Session"`',
    ),
    "unknown state": (
        '  option (actorrpc.actor) = { state: "p.Stat" };',
        'bad.proto:8:3: p.S: unknown state type "p.Stat"; import its file and write its full name',
    ),
    "state without its package": (
        '  option (actorrpc.actor) = { state: "State" };',
        'bad.proto:8:3: p.S: unknown state type "State"; did you mean "p.State"?',
    ),
    "state with a dot before it": (
        '  option (actorrpc.actor) = { state: ".p.State" };',
        'bad.proto:8:3: p.S: unknown state type ".p.State"; did you mean "p.State"?',
    ),
    "state in a file that is not imported": (
        '  option (actorrpc.actor) = { state: "p.Elsewhere" };',
        'bad.proto:8:3: p.S: state type "p.Elsewhere" is in other.proto, which bad.proto does not import',
    ),
    "state is an enum": (
        '  option (actorrpc.actor) = { state: "p.Colour" };',
        'bad.proto:8:3: p.S: state type "p.Colour" is an enum, not a message',
    ),
    "state is a service": (
        '  option (actorrpc.actor) = { state: "p.S" };',
        'bad.proto:8:3: p.S: state type "p.S" is a service, not a message',
    ),
    "state is a map entry": (
        '  option (actorrpc.actor) = { state: "p.State.CountsEntry" };',
        'bad.proto:8:3: p.S: state type "p.State.CountsEntry" is the entry of a map field, not a message',
    ),
    "keyed": (
        '  option (actorrpc.actor) = { state: "p.State" scope: KEY };',
        "bad.proto:8:3: p.S: keyed actors are not in this version; remove `scope: KEY`",
    ),
    "keyed without state": (
        "  rpc A(M) returns (M);\n\n  option (actorrpc.actor).scope = KEY;",
        "bad.proto:10:3: p.S: keyed actors are not in this version; remove `scope: KEY`",
    ),
}


@pytest.mark.parametrize(("body", "error"), REFUSED.values(), ids=REFUSED)
def test_protoc_prints_one_line(body: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text(f"{HEAD}{body}\n}}\n")
    (tmp_path / "other.proto").write_text('syntax = "proto3"; package p; message Elsewhere {}')
    done = by_command(tmp_path, tmp_path / "out", "bad.proto", "other.proto")
    said = [line for line in done.stderr.splitlines() if "warning: Import actorrpc/options.proto" not in line]
    assert (done.returncode, said) == (2, [f"--actorrpc_out: {error}"])
    assert not (tmp_path / "out").exists()


def test_no_service_has_a_name_that_python_mangles() -> None:
    file = FileDescriptorProto(name="a.proto")
    file.service.add(name="__S")
    answer = respond(CodeGeneratorRequest(file_to_generate=["a.proto"], proto_file=[file]))
    assert answer.error == "a.proto: __S: Python mangles names that begin with `__`; rename this service"


def test_a_state_may_be_imported_by_an_import(tmp_path: Path) -> None:
    write = {
        "state.proto": "message State {}",
        "between.proto": 'import "state.proto"; message M { State state = 1; }',
        "service.proto": """
            import "actorrpc/options.proto";
            import "between.proto";
            service S { option (actorrpc.actor) = { state: "State" }; rpc Do(M) returns (M); }
        """,
    }
    for name, text in write.items():
        (tmp_path / name).write_text(dedent(f'syntax = "proto3"; {text}'))
    done = by_command(tmp_path, tmp_path / "out", *write)
    assert (done.returncode, done.stderr) == (0, "")
    assert "state=state_pb2.State" in (tmp_path / "out" / "service_actorrpc.py").read_text()


def test_protoc_own_errors_come_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text('syntax = "proto3"; service S { rpc A(S) returns (B); }')
    done = by_command(tmp_path, tmp_path / "out", "bad.proto")
    assert done.returncode == 2
    assert [line.rpartition("bad.proto:")[2] for line in done.stderr.splitlines()] == [
        '1:38: "S" is not a message type.',
        '1:50: "B" is not defined.',
    ]
    assert not (tmp_path / "out").exists()
