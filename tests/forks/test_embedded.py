"""Children of a program that serves with ``actorrpc.Server``."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actorrpc.net.addresses import parse_address
from tests.apps.shapes_pb2 import Item
from tests.forks.bystander import Bystander
from tests.forks.ways import MANNERS, Child, descriptors
from tests.support.processes import ROOT, environment
from tests.support.waiting import PATIENCE


class Program:
    """A program that serves, in a process of its own."""

    def __init__(self, patched: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks.embedded", patched],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            # That a process with threads forks is what is tried.
            env={**environment(), "PYTHONWARNINGS": "default"},
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()

    def start(self, fork: str, child: Child, manner: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{fork}\t{child.folder}\t{manner}\n")
        self.process.stdin.flush()
        child.wait()

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def end(self) -> str:
        """End it, and return what it said last. A child has its standard output too."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        said = self.process.stdout.readline()
        self.process.wait(PATIENCE)
        return said


@pytest.fixture(params=["patched", "unpatched"])
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    program = Program(request.param)
    yield program
    program.close()


@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("fork", ["main", "thread"])
def test_a_child_has_no_part_in_the_server(
    program: Program, connect: Callable[[str], Bystander], child: Child, fork: str, manner: str
) -> None:
    bystanders = [connect(program.address) for _ in range(10)]
    assert {each.answered_by() for each in bystanders} == {program.process.pid}
    own = set(bystanders[0].ask("own").split("\n"))
    program.start(fork, child, manner)
    for _ in range(10):
        assert {each.answered_by() for each in bystanders} == {program.process.pid}
    shared = {name for name in descriptors(program.process.pid).values() if name.startswith("socket:")}
    assert shared & set(child.descriptors().values()) == own
    said = program.end()
    assert said == f"stopped {program.process.pid}\n"
    with socket.create_server(parse_address(program.address)):
        assert child.alive


def test_a_child_leaves_the_block_at_once_and_runs_no_handlers_last_words(
    program: Program, connect: Callable[[str], Bystander], child: Child, tmp_path: Path
) -> None:
    """It ends as a program does, with all that it has of its parent."""
    client, left = connect(program.address), tmp_path / "left"
    waiting: Any = client.stub.Expand(Item(text=str(left)), timeout=PATIENCE)
    next(waiting)
    program.start("main", child, "cooperates")
    child.finish()
    assert not left.exists()
    assert connect(program.address).answered_by() == program.process.pid
    waiting.cancel()


@pytest.mark.parametrize(
    ("task", "result"),
    [
        ("returns", "0"),
        ("exits", "7"),
        ("greenlet_returns", "[0]"),
        ("gevent_works", "14"),
        ("kills_a_greenlet", "(0, True)"),
    ],
)
def test_how_a_child_of_a_handler_ends(connect: Callable[[str], Bystander], task: str, result: str) -> None:
    program = Program("patched")
    try:
        client = connect(program.address)
        assert client.ask(task) == result
        assert client.answered_by() == program.process.pid
    finally:
        program.close()
