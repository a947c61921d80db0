"""The story that the README tells, typed as it stands there, in three terminals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE

from .conftest import ROOT

#: Where the README serves. Tests may not: the port may be somebody's.
ADDRESS = "127.0.0.1:50051"
TEXT = (ROOT / "README.md").read_text()


def blocks(mark: str) -> list[str]:
    """The blocks of code that stand below ``<!-- mark -->``."""
    found: list[str] = re.findall(rf"^<!-- {mark} -->\n```\w+\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of examples/hello, with ``python`` and ``actorrpc`` at hand, and a runtime directory."""
    bin, run = tmp_path / "bin", tmp_path / "run"
    bin.mkdir()
    run.mkdir(mode=0o700)
    for name, command in (("python", ""), ("actorrpc", "-m actorrpc")):
        (bin / name).write_text(f'#!/bin/sh\nexec {sys.executable} {command} "$@"\n')
        (bin / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(run))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    shutil.copytree(ROOT / "examples" / "hello", tmp_path / "hello")
    return tmp_path / "hello"


@contextmanager
def terminal(command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on for the length of the block."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        ["bash", "-euc", f"exec {command}"], cwd=folder, stdin=pipe, stdout=pipe, text=True
    ) as running:
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(PATIENCE)
            finally:
                running.kill()


def typed(commands: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-eu"], input=commands, cwd=folder, capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def converse(client: subprocess.Popen[str], lines: list[str]) -> None:
    """Type every other line, and read what comes after it."""
    assert client.stdin is not None and client.stdout is not None
    for name, greeting in zip(lines[::2], lines[1::2], strict=True):
        client.stdin.write(f"{name}\n")
        client.stdin.flush()
        assert client.stdout.readline() == f"{greeting}\n"


def test_watch_it_and_move_a_connection(folder: Path) -> None:
    (serve,) = blocks("serve")
    (move,), (stop,) = blocks("move"), blocks("stop")
    (first, *before), after = (block.splitlines() for block in blocks("client"))
    with terminal(serve.replace(ADDRESS, "127.0.0.1:0").strip(), folder) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2]
        program = folder / "client.py"
        program.write_text(program.read_text().replace(ADDRESS, address))
        with terminal(first.removeprefix("$ "), folder) as client:
            converse(client, before)
            (moved,) = re.findall(r"^moved (\S+) to hub [01]$", typed(move, folder), re.MULTILINE)
            converse(client, after)
            told = typed(stop, folder)
            assert re.search(rf" {moved} .* moved ", told)
            assert told.endswith("policy steady moves connections\nstopped\n")
            assert server.wait(PATIENCE) == 0
