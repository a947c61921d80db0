"""A real `actorrpc serve`: broker and hubs in processes of their own, asked through the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from actorrpc.ipc.request import request
from actorrpc.pb.admin_pb2 import Reply, Request

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
WAIT = 60.0


class Served:
    """A running server. ``runtime_dir`` is its own, in a folder that goes with it."""

    def __init__(self, *options: str, app: str = "tests.apps.shapes:app", hubs: int = 2) -> None:
        self.runtime_dir = Path(tempfile.mkdtemp(prefix="actorrpc-"))
        self.log = self.runtime_dir / "log"
        command = [
            sys.executable,
            "-m",
            "actorrpc",
            "serve",
            app,
            "--bind",
            "127.0.0.1:0",
            "--hubs",
            str(hubs),
            "--policy",
            "none",  # tests move connections themselves
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--runtime-dir", str(self.runtime_dir / "run"), *options],
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                text=True,
            )
        assert self.process.stdout is not None
        self.ready_line = self.process.stdout.readline()
        if not self.ready_line.startswith("ready on "):
            self.process.wait(WAIT)
            raise RuntimeError(f"it does not serve: {self.ready_line}{self.log.read_text()}")
        self.address = self.ready_line.split()[2]

    @property
    def socket_path(self) -> str:
        """Where the broker answers."""
        return str(self.runtime_dir / "run" / "broker.sock")

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command against this server."""
        command = [
            sys.executable,
            "-m",
            "actorrpc",
            *arguments,
            "--runtime-dir",
            str(self.runtime_dir / "run"),
        ]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=WAIT)

    def ask(self, question: Request) -> Any:
        """Ask as the command line does, without the time that a process takes."""
        return json.loads(request(self.socket_path, question, Reply, WAIT).json)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(Request(status=Request.Status()))
        return found

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(Request(connections=Request.Connections()))
        return found

    def move(self, connection: str, hub: int) -> str:
        """Have a connection moved. Returns why it was not, "" if it was."""
        question = Request(move=Request.Move(connection=connection, hub=hub))
        return request(self.socket_path, question, Reply, WAIT).error

    def wait_for(self, condition: Callable[[], T]) -> T:
        """The first true result of a condition, which each look asks the server about."""
        end = time.monotonic() + WAIT
        while not (result := condition()):
            assert time.monotonic() < end, f"the condition did not come about: {self.log.read_text()}"
            time.sleep(0.01)
        return result

    def close(self) -> str:
        """Stop it, and return what it logged."""
        if self.process.poll() is not None:
            self.cli("stop")  # its hubs may live on
        pids = [hub["pid"] for hub in self.status()["hubs"]] if self.process.poll() is None else []
        try:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(WAIT)
        finally:
            for pid in (self.process.pid, *pids):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait(WAIT)
            assert self.process.stdout is not None
            self.process.stdout.close()
            log = self.log.read_text()
            shutil.rmtree(self.runtime_dir)
        return log


@contextmanager
def served(*options: str, app: str = "tests.apps.shapes:app", hubs: int = 2) -> Iterator[Served]:
    """A server that is stopped at the end of the block."""
    server = Served(*options, app=app, hubs=hubs)
    try:
        yield server
    finally:
        server.close()
