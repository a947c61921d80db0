"""A few seconds of what `python -m tests.fuzz --atheris SECONDS --records` does for longer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from actorrpc.tls import inbound

from .model import Wrong
from .records import BAD_MAC, DECODE, ILLEGAL, OVERFLOW, PATIENCE, UNEXPECTED, one_input

ROOT = Path(__file__).parents[2]
#: Kinds of steps after which a connection goes on, mostly.
GOOD = (0, 1, 2, 3, 7)


def random_input(random: Random) -> bytes:
    """Some steps that are right, and then any."""
    good = [
        bytes((random.choice(GOOD), random.randrange(256), random.randrange(32)))
        for _ in range(random.randrange(20))
    ]
    rest = [bytes((random.randrange(12), *random.randbytes(2))) for _ in range(random.randrange(8))]
    return b"".join(good + rest)


def test_steps_at_random() -> None:
    found: Counter[object] = Counter()
    for seed in range(1500):
        model = one_input(random_input(Random(seed)))
        found["ended" if model.ended else "open" if model.fault is None else model.fault[0]] += 1
    # It goes deep: every end there is, and not too often at once.
    assert found.keys() == {"ended", "open", None, UNEXPECTED, BAD_MAC, OVERFLOW, ILLEGAL, DECODE}
    assert min(found.values()) >= 3


def test_key_updates_without_end() -> None:
    assert one_input(b"\3\0\0" * PATIENCE).fault is None
    assert one_input(b"\3\0\0" * (PATIENCE + 1)).fault == (UNEXPECTED, UNEXPECTED)


def test_a_difference_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "MAX_IDLE_UPDATES", PATIENCE - 1)
    with pytest.raises(Wrong):
        one_input(b"\3\0\0" * PATIENCE)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
def test_guided_by_coverage() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--atheris", "8", "--records"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr[-5000:]
    assert "DONE" in done.stderr
