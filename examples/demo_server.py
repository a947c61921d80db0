"""The server of a demo: ``actorrpc serve`` in processes of its own, and the commands that ask it."""

from __future__ import annotations

import json
import re
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["CommandFailed", "Server"]

ROOT = Path(__file__).parents[1]

#: Generous: a machine may be busy.
START_PATIENCE = 30.0
COMMAND_PATIENCE = 30.0
STOP_PATIENCE = 15.0


class CommandFailed(Exception):
    """A command of ``actorrpc`` did not do what was asked. Its text is what the command said."""


class Server:
    """Serves ``app`` for the length of a ``with`` block. No process is left after it, whatever happens in it.

    Raises CommandFailed if the server does not start.
    """

    def __init__(
        self,
        app: str,
        *,
        hubs: int = 2,
        folder: Path = ROOT,
        options: Sequence[str] = (),
    ) -> None:
        self._folder = folder
        self._scratch = Path(tempfile.mkdtemp(prefix="actorrpc-"))  # short: the path of a socket must be
        self._runtime_dir = self._scratch / "run"
        self._command = ["serve", app, "--bind", "127.0.0.1:0", "--hubs", str(hubs), *options]
        self._process: subprocess.Popen[str]
        #: Such as ``127.0.0.1:50051``.
        self.address = ""

    def status(self) -> dict[str, Any]:
        """What ``actorrpc status --json`` prints."""
        found: dict[str, Any] = json.loads(self._run("status", "--json"))
        return found

    def connections(self) -> list[dict[str, Any]]:
        """What ``actorrpc connections --json`` prints."""
        found: list[dict[str, Any]] = json.loads(self._run("connections", "--json"))
        return found

    def actors(self) -> list[dict[str, Any]]:
        """What ``actorrpc actors --json`` prints."""
        found: list[dict[str, Any]] = json.loads(self._run("actors", "--json"))
        return found

    def move(self, what: str, hub: int) -> str:
        """Do ``actorrpc move`` for a connection, or an actor, and return what it says. Raises CommandFailed
        if nothing was moved."""
        return self._run("move", what, str(hub)).strip()

    def reload(self) -> str:
        """Do ``actorrpc reload``, and return the last line that it says."""
        return self._run("reload").splitlines()[-1]

    @property
    def log(self) -> str:
        """What the broker and the hubs have logged."""
        return (self._scratch / "log").read_text(errors="replace")

    def __enter__(self) -> Server:
        with open(self._scratch / "log", "w") as log:
            self._process = subprocess.Popen(
                self._actorrpc(*self._command),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # Ctrl-C is for us: we stop the server when the clients have gone.
                start_new_session=True,
            )
        try:
            self.address = self._wait_until_ready()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _wait_until_ready(self) -> str:
        out = self._process.stdout
        assert out is not None
        ready, _, _ = select.select([out], [], [], START_PATIENCE)
        line = out.readline() if ready else ""
        found = re.fullmatch(r"ready on (\S+) \(\d+ hubs?\)\n", line)
        if not found:
            raise CommandFailed(f"the server does not start: {self.log.strip() or line or 'it says nothing'}")
        return found[1]

    def _stop(self) -> None:
        try:
            self._process.terminate()
            self._process.wait(STOP_PATIENCE)
        except BaseException as error:
            self._process.kill()
            self._process.wait()
            self._run_unchecked("stop")  # hubs outlive their broker
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _run(self, *arguments: str) -> str:
        done = self._run_unchecked(*arguments)
        if done.returncode:
            raise CommandFailed(done.stderr.strip().removeprefix("actorrpc: error: "))
        return done.stdout

    def _run_unchecked(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                self._actorrpc(*arguments),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise CommandFailed(f"actorrpc {arguments[0]} does not end") from None

    def _actorrpc(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "actorrpc", *arguments, "--runtime-dir", str(self._runtime_dir)]

    def __repr__(self) -> str:
        return f"<Server on {self.address or 'no address yet'}, broker {self._process.pid}>"
