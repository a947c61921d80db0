"""What a client of Node.js needs: its packages, installed as package-lock.json says."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import pytest

from tests.support.programs import program

__all__ = ["JS", "install_node_modules"]

JS = Path(__file__).parent / "js"


def install_node_modules() -> None:
    """Install what package-lock.json says into tests/interop/js/node_modules, if it is not there yet."""
    lock, installed = JS / "package-lock.json", JS / "node_modules" / ".package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # tests of two Pythons may run side by side
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            _npm_ci()


def _npm_ci() -> None:
    options = ["--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts"]
    command = [program("npm"), "ci", "--prefix", str(JS), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(f"`{' '.join(command)}` failed:\n{done.stdout}{done.stderr}", pytrace=False)
