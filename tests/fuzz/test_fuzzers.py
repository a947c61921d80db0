"""A few seconds of what `python -m tests.fuzz` does for longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from . import long
from .corpus import FOLDER, recordings
from .long import Hang, Run
from .model import FRAME_LIMIT
from .mutation import mutate, split
from .target import one_input

ROOT = Path(__file__).parents[2]


def test_recordings_are_served_without_a_fault() -> None:
    assert len(recordings()) >= 10
    for path in FOLDER.glob("*.bin"):
        model = one_input(path.read_bytes()).model
        assert model.refused_preface == (path.stem == "curl-http1-upgrade")
        assert model.fault is None or model.refused_preface
        assert model.frames >= 5 or model.refused_preface


def test_recordings_with_changes() -> None:
    random = Random(1)
    for _ in range(1000):
        one_input(mutate(random.choice(recordings()), random))


def test_frames_are_split_where_they_end() -> None:
    for data in recordings():
        assert b"".join(split(data)) == data
        assert all(len(part) <= 9 + FRAME_LIMIT for part in split(data))


def test_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(seed=2, frames=40_000)
    assert run(), capsys.readouterr().out
    # It goes deep: every type of frame, every code that a client can provoke, and sessions that last.
    assert run.types.keys() == {*long.NAMES, "unknown"}
    assert {code for name, code in run.codes if name == "goaway"} >= {1, 6, 9}
    assert {code for name, code in run.codes if name == "reset"} >= {1, 3, 5, 6, 7}
    assert run.frames > 100 * run.sessions
    assert len(run.memory) == 4


def test_what_goes_wrong_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(seed: int, number: int) -> None:
        raise AssertionError(f"as it should, {number}")

    monkeypatch.setattr(long, "run_session", fails)
    run = Run(seed=1, frames=100)
    assert not run()
    assert "as it should, 9" in run.failures[9]


def test_a_hang_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(seed: int, number: int) -> None:
        while True:
            pass

    monkeypatch.setattr(long, "run_session", hangs)
    monkeypatch.setattr(long, "PATIENCE", 0.01)
    run = Run(seed=1, frames=100)
    assert not run()
    assert Hang.__name__ in run.failures[0]


def test_growth_is_noticed() -> None:
    run = Run(seed=1, frames=100)
    run.memory = [30 << 20, 31 << 20]
    assert not run.grown
    run.memory.append(39 << 20)
    assert run.grown


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_guided_by_coverage() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--atheris", "8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    assert "DONE" in done.stderr
