"""Comments become docstrings, and nothing in a comment becomes code."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from hypothesis import example, given
from hypothesis import strategies as st

from actorrpc.codegen.plugin import respond
from actorrpc.codegen.render import docstring
from actorrpc.codegen.source import Source

from .programs import request_for

COMMENTS = st.text(
    st.sampled_from("\"\\'\n \tnNxu{}0a\r\x00\x0c\u2028\u202e\x85é😀") | st.characters(codec="utf-8")
)


@given(COMMENTS)
@example('"')
@example('""')
@example('"""')
@example('""""\n"')
@example("\\")
@example('\\"')
@example('\\"""\\')
@example("\\N{BULLET} \\x41 \\u0041 \\101 \\\n")
@example("a\x00b\rc\x0cd\u2028e\x85f")
@example('"""\n\nimport os\n"""')
def test_a_docstring_evaluates_to_its_text(text: str) -> None:
    written = docstring(text)
    assert ast.literal_eval(written) in (text, text + "\n")
    assert "\r" not in written and "\x00" not in written


@given(COMMENTS)
def test_a_docstring_stays_within_its_function(text: str) -> None:
    body = "\n".join("    " + line for line in docstring(text).split("\n"))
    (function,) = ast.parse(f"def f():\n{body}\n    raise Last\n").body
    assert isinstance(function, ast.FunctionDef)
    assert [type(statement) for statement in function.body] == [ast.Expr, ast.Raise]


def comment(leading: str, trailing: str = "") -> str:
    file = FileDescriptorProto(name="a.proto")
    file.source_code_info.location.add(
        path=[6, 0], span=[0, 0, 1], leading_comments=leading, trailing_comments=trailing
    )
    return Source(file).comment(6, 0)


@pytest.mark.parametrize(
    ("leading", "expected"),
    [
        ("", ""),
        (" One line.\n", "One line."),
        (" One.\n\n   Indented.\n Two.\n", "One.\n\n  Indented.\nTwo."),
        ("\n One line.\n\n", "One line."),
        (" With Windows' line ends.\r\n Two.\r\n", "With Windows' line ends.\nTwo."),
        ("\tA tab.\n\t\tTwo.\n", "A tab.\n        Two."),
        (" \n \n", ""),
        ("No margin.\n Some.\n", "No margin.\n Some."),
    ],
)
def test_the_margin_of_a_comment_is_taken_off(leading: str, expected: str) -> None:
    assert comment(leading) == expected


def test_a_comment_before_is_preferred_to_one_after() -> None:
    assert comment(" Before.\n", " After.\n") == "Before."
    assert comment("", " After.\n") == "After."


def test_what_has_no_comment_has_none() -> None:
    assert Source(FileDescriptorProto(name="a.proto")).comment(6, 0) == ""


PROTO = (
    rb'''
syntax = "proto3";
message M {}

// A banner that belongs to nothing.

/* Raises """ and \" and \
 * caf\xe9, which is not UTF-8: caf\xE9 '''.replace(rb"\xE9", b"\xe9")
    + b"""*/
service S {
  rpc A(M) returns (M);  // After.
  // Before.
  rpc B(M) returns (M);  // Ignored.
  rpc C(M) returns (M);
}
"""
)


def test_comments_as_protoc_reads_them(tmp_path: Path) -> None:
    (tmp_path / "s.proto").write_bytes(PROTO)
    (file,) = respond(request_for(tmp_path, tmp_path, "s.proto")).file
    classes = [node for node in ast.parse(file.content).body if isinstance(node, ast.ClassDef)]
    base = classes[0]
    assert ast.get_docstring(base) == 'Raises """ and \\" and \\\ncaf\\xe9, which is not UTF-8: caf\ufffd'
    methods = [node for node in base.body if isinstance(node, ast.FunctionDef)]
    assert {method.name: ast.get_docstring(method) for method in methods} == {
        "A": "After.",
        "B": "Before.",
        "C": None,
    }
