"""A real server: ``actorrpc serve`` in a process group of its own, asked and watched from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from actorrpc.ipc.request import request
from actorrpc.pb.admin_pb2 import Reply, Request
from tests.support.processes import ACTORRPC, ROOT, actorrpc, environment, group_members, is_free
from tests.support.waiting import PATIENCE, until

__all__ = ["APP", "ServerProcess", "served"]

APP = "tests.apps.shapes:app"

#: What has a process in a group of its own.
_GROUP: dict[str, Any] = {"process_group": 0} if sys.version_info >= (3, 11) else {"preexec_fn": os.setpgrp}

Found = TypeVar("Found")


class ServerProcess:
    """``actorrpc serve`` whose runtime directory is in ``folder``, or in one of its own that goes with it.

    Its standard error is in ``log``, unless another descriptor is given for that. Warnings are errors in one
    that is ``strict``; its environment has the ``variables`` as well. It has a process group of its own, and
    a ``session`` as well, unless it is to have its part of a busy machine: the scheduler weighs sessions
    against each other, and with one of their own broker and hubs together have the share of the test. In the
    test's session a group whose broker is killed while a hub is stopped gets SIGHUP from the kernel.
    """

    def __init__(
        self,
        *options: object,
        folder: Path | None = None,
        app: str = APP,
        hubs: int = 2,
        bind: str | None = "127.0.0.1:0",
        cwd: Path = ROOT,
        program: Sequence[str] = (*ACTORRPC, "serve"),
        stderr: int | None = None,
        pass_fds: Sequence[int] = (),
        strict: bool = True,
        session: bool = True,
        variables: Mapping[str, str] | None = None,
        append: bool = False,
    ) -> None:
        # A short path, since that of a unix socket may have a hundred characters.
        self._own = None if folder else tempfile.TemporaryDirectory(prefix="actorrpc-")
        self.folder = folder or Path(self._own.name if self._own else "")
        self.runtime_dir = self.folder / "run"
        self.address = ""
        self._last_log: str | None = None
        # Tests move connections themselves, unless they say otherwise.
        where = () if bind is None else ("--bind", bind)
        ours = (app, *where, "--hubs", hubs, "--runtime-dir", self.runtime_dir, "--policy", "none")
        with (self.folder / "log").open("a" if append else "w") as log:
            self.process = subprocess.Popen(
                [*program, *map(str, (*ours, *options))],
                cwd=cwd,
                env={**environment(strict=strict), **(variables or {})},
                stdout=subprocess.PIPE,
                stderr=log if stderr is None else stderr,
                **({"start_new_session": True} if session else _GROUP),
                pass_fds=pass_fds,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has said on its standard error, also when it is closed."""
        return (self.folder / "log").read_text() if self._last_log is None else self._last_log

    @property
    def socket_path(self) -> str:
        """Where the broker answers."""
        return str(self.runtime_dir / "broker.sock")

    def successor(self, *options: object, **named: Any) -> ServerProcess:
        """Another broker, which is to take over what this one has, or has left; it is not ready yet."""
        return ServerProcess(*options, folder=self.folder, append=True, **named)

    def until_ready(self) -> None:
        line = self.read_line()
        assert line.startswith("ready on "), f"it does not serve: {line}{self.log}"
        self.address = line.split()[2]

    def read_line(self) -> str:
        """The next line of standard output; empty at its end."""
        assert self.process.stdout is not None
        line = b""
        deadline = time.monotonic() + PATIENCE
        while not line.endswith(b"\n"):
            left = max(deadline - time.monotonic(), 0)
            assert select.select([self.process.stdout], [], [], left)[0], f"no line came: {self.log}"
            if not (byte := os.read(self.process.stdout.fileno(), 1)):
                break
            line += byte
        return line.decode()

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        """Run a command line that asks this server."""
        return actorrpc(*command, "--runtime-dir", self.runtime_dir)

    def request(self, question: Request) -> Reply:
        """Ask as the command line does, without the time that a process takes. Raises OSError."""
        return request(self.socket_path, question, Reply, PATIENCE)

    def ask(self, question: Request) -> Any:
        return json.loads(self.request(question).json)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(Request(status=Request.Status()))
        return found

    def hub(self, id: int) -> dict[str, Any]:
        row: dict[str, Any] = self.status()["hubs"][id]
        return row

    def connections(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(Request(connections=Request.Connections()))
        return found

    def move(self, connection: str, hub: int) -> str:
        """Have a connection moved. Returns why it was not, "" if it was."""
        return self.request(Request(move=Request.Move(connection=connection, hub=hub))).error

    def wait_for(self, condition: Callable[[], Found]) -> Found:
        """The first true result of a condition, which each look asks the server about."""
        return until(condition, told=lambda: self.log)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill the broker and its hubs, and wait until their port is free."""
        for pid in (self.pid, *[hub["pid"] for hub in self.status()["hubs"]]):
            os.kill(pid, signal.SIGKILL)
        self.wait()
        until(lambda: is_free(self.address))

    def close(self) -> list[int]:
        """End whatever of it still runs. Returns what was left when the broker had ended."""
        try:
            if self.process.poll() is None:
                os.kill(self.pid, signal.SIGCONT)
                self.process.terminate()
                self.wait()
        finally:
            left = group_members(self.pid)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            until(lambda: not group_members(self.pid))
            assert self.process.stdout is not None
            self.process.stdout.close()
            self._last_log = self.log
            if self._own:
                self._own.cleanup()
        return left

    def __repr__(self) -> str:
        return f"<ServerProcess {self.pid} on {self.address or 'nothing yet'}>"


@contextmanager
def served(*options: object, **named: Any) -> Iterator[ServerProcess]:
    """A server that is stopped at the end of the block; the arguments are ``ServerProcess``'s.

    It is of the test's session.
    """
    server = ServerProcess(*options, **{"session": False, **named})
    try:
        server.until_ready()
        yield server
    finally:
        server.close()
