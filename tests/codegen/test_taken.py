"""A service whose names are taken, generated, served by a real server, and called by grpcio."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.processes import ROOT, python
from tests.support.server_process import served

HERE = Path(__file__).parent


def test_it_is_served_and_called(generated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (generated, HERE, ROOT))))
    with served(app="taken_app:app", hubs=1) as server:
        done = python("-W", "error", HERE / "call_taken.py", server.address, path=[generated])
    assert (done.returncode, done.stderr) == (0, "")
