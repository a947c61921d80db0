"""What is generated, to the letter, and always the same. ``regenerate`` writes the expected files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actorrpc.codegen.plugin import respond
from tests.support.processes import ROOT

from .programs import GOLDEN, PROTOS, by_plugin, modules_of, request_for

EXPECTED = modules_of(GOLDEN)


def test_the_command_writes_what_is_expected(generated: Path) -> None:
    assert modules_of(generated) == EXPECTED


def test_the_plugin_writes_the_same_under_plain_protoc(tmp_path: Path) -> None:
    done = by_plugin(GOLDEN, tmp_path / "out", *PROTOS)
    assert (done.returncode, done.stderr) == (0, "")
    assert modules_of(tmp_path / "out") == EXPECTED


def test_a_file_is_the_same_alone_and_among_others(tmp_path: Path) -> None:
    answers = [respond(request_for(GOLDEN, tmp_path, proto)) for proto in PROTOS]
    assert {file.name: file.content for answer in answers for file in answer.file} == EXPECTED


def test_generation_does_not_depend_on_hashing(tmp_path: Path) -> None:
    request = request_for(GOLDEN, tmp_path, *PROTOS).SerializeToString()
    answers = {
        subprocess.run(
            [sys.executable, "-m", "actorrpc.codegen.plugin"],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            input=request,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(answers) == 1


@pytest.mark.parametrize("name", EXPECTED)
def test_lines_are_short_where_names_are(name: str) -> None:
    if not name.startswith("wrapped"):
        assert max(map(len, EXPECTED[name].splitlines())) <= 110
