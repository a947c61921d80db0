"""Real servers for tests: ``actorrpc serve`` in a process group of its own, watched from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc

from actorrpc.broker.admin import ask
from actorrpc.broker.runtime_dir import RuntimeDir
from actorrpc.net.addresses import parse_address
from actorrpc.pb.admin_pb2 import Request
from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item

ROOT = Path(__file__).parents[2]
ACTORRPC = (sys.executable, "-m", "actorrpc")
APP = "tests.apps.shapes:app"
#: Nothing waits for so long unless it waits in vain: a busy machine starts a server in half of it.
PATIENCE = 60.0

Found = TypeVar("Found")


def until(look: Callable[[], Found]) -> Found:
    """Look until something true is found."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {PATIENCE} s in vain"
        time.sleep(0.01)
    return found


def is_free(address: str) -> bool:
    """Whether nobody listens there: a process that was killed lets go of its sockets some time after."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections may linger
        try:
            sock.bind(parse_address(address))
            sock.listen()
        except OSError:
            return False
    return True


def actorrpc(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command line to its end."""
    return subprocess.run(
        [*ACTORRPC, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


def environment() -> dict[str, str]:
    """For a process that finds the package, and in which warnings are errors, as they are in tests."""
    warnings = "error,ignore:Protobuf gencode version:UserWarning"
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": warnings}


def group_members(group: int) -> list[int]:
    """The live processes of a process group."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat[2]) == group and stat[0] != "Z":
            found.append(int(entry))
    return found


class ServerProcess:
    """``actorrpc serve`` with a runtime directory under ``folder``.

    Its standard error is in ``errors``, unless another descriptor is given for that.
    """

    def __init__(
        self,
        folder: Path,
        *options: object,
        app: str = APP,
        hubs: int = 2,
        bind: str = "127.0.0.1:0",
        cwd: Path = ROOT,
        program: Sequence[str] = (*ACTORRPC, "serve"),
        stderr: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.folder = folder
        self.runtime_dir = folder / "run"
        self.address = ""
        self._errors = (folder / "stderr").open("w")
        # Tests move connections themselves, unless they say otherwise.
        ours = (app, "--bind", bind, "--hubs", hubs, "--runtime-dir", self.runtime_dir, "--policy", "none")
        arguments = (*ours, *options)
        self.process = subprocess.Popen(
            [*program, *map(str, arguments)],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=self._errors if stderr is None else stderr,
            start_new_session=True,
            pass_fds=pass_fds,
        )

    def until_ready(self) -> None:
        line = self.read_line()
        assert line.startswith("ready on "), self.errors
        self.address = line.split()[2]

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        return (self.folder / "stderr").read_text()

    def read_line(self) -> str:
        """The next line of standard output; empty at its end."""
        assert self.process.stdout is not None
        line = b""
        deadline = time.monotonic() + PATIENCE
        while not line.endswith(b"\n"):
            left = max(deadline - time.monotonic(), 0)
            assert select.select([self.process.stdout], [], [], left)[0], f"no line came: {self.errors}"
            if not (byte := os.read(self.process.stdout.fileno(), 1)):
                break
            line += byte
        return line.decode()

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Run a command line that asks this server."""
        return actorrpc(*command, "--runtime-dir", self.runtime_dir)

    def ask(self, request: Request) -> Any:
        """Ask as the command line does, without the time that a process takes."""
        return json.loads(ask.ask(RuntimeDir(str(self.runtime_dir)), request, PATIENCE).json)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(Request(status=Request.Status()))
        return found

    def hub(self, id: int) -> dict[str, Any]:
        row: dict[str, Any] = self.status()["hubs"][id]
        return row

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(Request(connections=Request.Connections()))
        return found

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill the broker and its hubs, and wait until their port is free."""
        for pid in (self.pid, *[hub["pid"] for hub in self.status()["hubs"]]):
            os.kill(pid, signal.SIGKILL)
        self.wait()
        until(lambda: is_free(self.address))

    def clean(self) -> list[int]:
        """End whatever of it still runs. Returns what was left when the broker had ended."""
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGCONT)
            self.process.terminate()
            self.wait()
        left = group_members(self.pid)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not group_members(self.pid))
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()
        return left


class Client:
    """One connection of a real client that counts its calls, as its actor does."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = StatefulStub(self._channel)
        self.calls = 0

    def call(self) -> None:
        self.calls += 1
        reply = self._stub.Unary(Item(), timeout=PATIENCE, wait_for_ready=True)
        assert reply.number == self.calls

    def begin_slow_call(self, seconds: float) -> Any:
        """Begin a call whose handler sleeps. Returns its future once the server has it, if it connects."""
        self.calls += 1
        return self._stub.Unary.future(Item(sleep=seconds), timeout=PATIENCE, wait_for_ready=True)

    def close(self) -> None:
        self._channel.close()
