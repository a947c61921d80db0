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
TAIL = """
}
message Line {
  string room = 1;
  int32 number = 2;
  bytes raw = 3;
  repeated string rooms = 4;
  map<string, string> by_name = 5;
  State inner = 6;
  Other.ByNameEntry entry = 8;
  Colour colour = 7;
}
message Other { message ByNameEntry {} }
"""


def _keyed(options: str) -> str:
    return f'  option (actorrpc.actor) = {{ state: "p.State" scope: KEY {options} }};\n'


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
    "keyed without state": (
        "  rpc A(M) returns (M);\n\n  option (actorrpc.actor).scope = KEY;",
        'bad.proto:10:3: p.S: the actor\'s state is missing; name a message, such as `state: "chat.Session"`',
    ),
    "a scope of another version": (
        '  option (actorrpc.actor) = { state: "p.State" scope: 7 };',
        "bad.proto:8:3: p.S: this version of actorrpc does not know `scope: 7`",
    ),
    "key_from of another version": (
        '  option (actorrpc.actor) = { state: "p.State" scope: KEY key_from: 7 };',
        "bad.proto:8:3: p.S: this version of actorrpc does not know `key_from: 7`",
    ),
    **{
        f"{name} without keys": (
            f'  option (actorrpc.actor) = {{ state: "p.State" {option} }};',
            f"bad.proto:8:3: p.S: `{name}` is for keyed actors only; add `scope: KEY`, or remove `{name}`",
        )
        for name, option in {
            "key": 'key: "room"',
            "key_from": "key_from: METADATA",
            "idle": "scope: CONNECTION idle: 0",
            "always": 'always: "lobby"',
        }.items()
    },
    "a field and the identity": (
        "  rpc A(Line) returns (M);\n  option (actorrpc.actor) = "
        '{ state: "p.State" scope: KEY key: "room" key_from: IDENTITY };',
        "bad.proto:9:3: p.S: `key` and `key_from: IDENTITY` contradict each other; remove one of them",
    ),
    "one request without the key": (
        _keyed('key: "room"') + "  rpc A(Line) returns (M);\n  rpc B(M) returns (M);",
        'bad.proto:8:3: p.S: key "room": p.M, the request of B, has no such field; every request needs '
        "the key",
    ),
    "a stream's message without the key": (
        _keyed('key: "room"') + "  rpc A(stream M) returns (M);",
        'bad.proto:8:3: p.S: key "room": p.M, the request of A, has no such field; every request needs '
        "the key",
    ),
    **{
        f"a key in a {kind}": (
            _keyed(f'key: "{name}"') + "  rpc A(Line) returns (M);",
            f'bad.proto:8:3: p.S: key "{name}": in p.Line, the request of A, it is a field of type {kind}; a '
            "key is a string",
        )
        for name, kind in {
            "number": "int32",
            "raw": "bytes",
            "rooms": "repeated string",
            "by_name": "map",
            "inner": "message",
            "entry": "message",
            "colour": "enum",
        }.items()
    },
    "one field of the option, set by itself": (
        '  option (actorrpc.actor).state = "p.State";\n'
        '  option deprecated = true; option (actorrpc.actor).key = "room";\n'
        "  option (actorrpc.actor).idle = 5;",
        "bad.proto:9:29: p.S: `key` is for keyed actors only; add `scope: KEY`, or remove `key`",
    ),
    "what is missing among fields set by themselves": (
        "  option deprecated = true;\n"
        "  option (actorrpc.actor).scope = KEY;\n"
        "  option (actorrpc.actor).idle = 5;",
        'bad.proto:9:3: p.S: the actor\'s state is missing; name a message, such as `state: "chat.Session"`',
    ),
    "an empty key is always there": (
        _keyed('always: ["lobby", ""]'),
        "bad.proto:8:3: p.S: `always`: a key must not be empty",
    ),
    "too long a key is always there": (
        _keyed(f'always: "{"x" * 257}"'),
        "bad.proto:8:3: p.S: `always`: a key is too long: 257 bytes of UTF-8, and at most 256 may be",
    ),
    "one key is always there twice": (
        _keyed('always: ["lobby", "a\\nb", "hall", "a\\nb"]'),
        'bad.proto:8:3: p.S: `always` has "a\\nb" twice; remove one of them',
    ),
}


@pytest.mark.parametrize(("body", "error"), REFUSED.values(), ids=REFUSED)
def test_protoc_prints_one_line(body: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "bad.proto").write_text(f"{HEAD}{body}{TAIL}")
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
