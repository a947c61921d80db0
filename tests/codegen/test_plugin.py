"""The plugin protocol: what protoc asks, what the plugin answers, and what else may run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import Edition

from actorrpc.codegen import plugin
from tests.support.processes import ROOT, python

from .programs import GOLDEN, by_plugin, request_for


def test_it_announces_what_it_supports() -> None:
    answer = plugin.respond(CodeGeneratorRequest())
    assert answer.supported_features & CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    assert answer.supported_features & CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS
    assert answer.minimum_edition == Edition.EDITION_PROTO2
    assert answer.maximum_edition >= Edition.EDITION_2023
    assert not answer.HasField("error")


def test_files_without_services_give_no_module(tmp_path: Path) -> None:
    assert not plugin.respond(request_for(GOLDEN, tmp_path, "shop/types.proto")).file


def test_imported_files_give_no_module(tmp_path: Path) -> None:
    request = request_for(GOLDEN, tmp_path, "shop/api/v1/cart.proto")
    assert len(request.proto_file) > 1
    assert [file.name for file in plugin.respond(request).file] == ["shop/api/v1/cart_actorrpc.py"]


def test_it_needs_no_source_info(tmp_path: Path) -> None:
    request = request_for(GOLDEN, tmp_path, "chat.proto")
    for described in request.proto_file:
        described.ClearField("source_code_info")
    (file,) = plugin.respond(request).file
    compile(file.content, file.name, "exec")


def test_one_bad_file_stops_all(tmp_path: Path) -> None:
    (tmp_path / "good.proto").write_text(
        'syntax = "proto3"; message A {} service Good { rpc Do(A) returns (A); }'
    )
    (tmp_path / "bad.proto").write_text(
        'syntax = "proto3"; message B {} service __Bad { rpc Do(B) returns (B); }'
    )
    answer = plugin.respond(request_for(tmp_path, tmp_path, "good.proto", "bad.proto"))
    assert answer.error
    assert not answer.file


@pytest.mark.parametrize("parameter", ["async", "paths=source_relative", ","])
def test_parameters_are_refused(parameter: str) -> None:
    answer = plugin.respond(CodeGeneratorRequest(parameter=parameter))
    assert answer.error == f'unknown parameter "{parameter}"; protoc-gen-actorrpc takes none'


def test_protoc_prints_the_error(tmp_path: Path) -> None:
    done = by_plugin(GOLDEN, tmp_path / "out", "chat.proto", parameter="async")
    assert done.returncode == 1
    assert done.stderr == '--actorrpc_out: unknown parameter "async"; protoc-gen-actorrpc takes none\n'
    assert not list((tmp_path / "out").iterdir())


def test_a_person_who_runs_it_is_told_what_to_run() -> None:
    done = python("-m", "actorrpc.codegen.plugin", "--help")
    assert done.returncode == 1
    assert "python -m actorrpc.protoc" in done.stderr


def test_other_input_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "actorrpc.codegen.plugin"],
        env={"PYTHONPATH": str(ROOT)},
        input=b"not a request",
        capture_output=True,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"not a CodeGeneratorRequest" in done.stderr
    assert b"Traceback" not in done.stderr


def test_it_needs_no_gevent() -> None:
    done = python("-c", "import sys, actorrpc.codegen.plugin; assert 'gevent' not in sys.modules")
    assert done.returncode == 0, done.stderr
