"""The programs that are not Python's: where they are, and what to do if they are not."""

from __future__ import annotations

import os
import shutil

import pytest

__all__ = ["PACKAGES", "REQUIRED", "program"]

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
    "systemd-analyze": "systemd",
}


def program(name: str) -> str:
    """The path of a program. If there is none, the test is skipped, or fails where all are required."""
    if found := shutil.which(name):
        return found
    missing = f"{name} is not installed: `apt-get install {PACKAGES[name]}` does it"
    if os.environ.get(REQUIRED):
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)
