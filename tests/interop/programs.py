"""The programs that are not Python's: where they are, and what to do if they are not."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

#: If it is set, as `.ci/run` does, a program that is not installed fails its tests instead of skipping them.
REQUIRED = "ACTORRPC_INTEROP_REQUIRED"

PACKAGES = {
    "node": "nodejs",
    "npm": "npm",
    "nghttp": "nghttp2-client",
    "h2load": "nghttp2-client",
    "curl": "curl",
    "openssl": "openssl",
    "haproxy": "haproxy",
    "nginx": "nginx libnginx-mod-stream",
    "nghttpx": "nghttp2-proxy",
}

JS = Path(__file__).parent / "js"


def program(name: str) -> str:
    """The path of a program. If there is none, the test is skipped, or fails where all are required."""
    if found := shutil.which(name):
        return found
    missing = f"{name} is not installed: `apt-get install {PACKAGES[name]}` does it"
    if os.environ.get(REQUIRED):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


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
