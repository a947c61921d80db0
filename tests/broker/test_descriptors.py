"""File descriptors: what a server needs, and what it says when it may not have it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from actorrpc.broker.host.descriptors import check_descriptors, needed_descriptors
from actorrpc.errors import ConfigError
from tests.support.processes import ACTORRPC, ROOT, environment
from tests.support.server_process import APP


def test_the_formula() -> None:
    assert needed_descriptors(hubs=4, already_open=3) == 3 + 4 * 7 + 32
    assert needed_descriptors(hubs=6, already_open=19, running=4) == 19 + 2 * 7 + 4 * 3 + 32
    assert needed_descriptors(hubs=4, already_open=19, running=4) == 19 + 4 * 3 + 32


def test_the_limit_of_this_process() -> None:
    check_descriptors(1)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(ConfigError, match=f"the limit is {soft}: start fewer hubs, or raise the limit"):
        check_descriptors(soft)


def test_more_hubs_than_descriptors_start_nothing(tmp_path: Path) -> None:
    program = f"""
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
os.execv(sys.executable, {[*ACTORRPC, "serve", APP, "--hubs", "20", "--runtime-dir", str(tmp_path / "run")]})
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("actorrpc: error: 20 hubs need ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
