"""@grpc/grpc-js: a program of its own, which knows how each case goes."""

from __future__ import annotations

import subprocess

from tests.interop.programs import JS, install_node_modules
from tests.support.endpoints import Endpoint
from tests.support.programs import program

WAIT = 120.0


def run(case: str, endpoint: Endpoint, times: int) -> None:
    """Run a case. Raises AssertionError with what the program says if it fails."""
    node = program("node")
    install_node_modules()
    command = [node, str(JS / "client.js"), endpoint.address, case, str(times), *endpoint.files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT)
    assert done.returncode == 0, f"{case}: {done.stdout}{done.stderr}"
