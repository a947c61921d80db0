"""Processes of the tested package: what they are started with, and what the kernel knows of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from actorrpc.net.addresses import parse_address
from tests.support.waiting import PATIENCE

__all__ = [
    "ACTORRPC",
    "ROOT",
    "Result",
    "actorrpc",
    "environment",
    "group_members",
    "is_free",
    "python",
    "untitled",
]

ROOT = Path(__file__).parents[2]
ACTORRPC = (sys.executable, "-m", "actorrpc")

Result = subprocess.CompletedProcess[str]


def actorrpc(*arguments: object, cwd: Path = ROOT) -> Result:
    """Run a command line to its end."""
    return subprocess.run(
        [*ACTORRPC, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


def python(
    *arguments: str | Path,
    cwd: Path | None = None,
    path: Iterable[Path] = (),
    environment: Mapping[str, str] | None = None,
) -> Result:
    """Run this interpreter; ``path`` comes before the tested actorrpc on the child's ``sys.path``."""
    modules = os.pathsep.join(map(str, (*path, ROOT)))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": modules, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def environment(*, strict: bool = True) -> dict[str, str]:
    """For a process that finds the package, and in which warnings are errors, as they are in tests, if it is
    to be ``strict``."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    found = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if strict:
        found["PYTHONWARNINGS"] = "error,ignore:Protobuf gencode version:UserWarning"
    return found


def untitled(folder: Path) -> dict[str, str]:
    """For processes that do not find setproctitle: what hides it is put into the folder."""
    (folder / "setproctitle.py").write_text("raise ImportError('it is not installed')\n")
    found = environment()
    return {**found, "PYTHONPATH": os.pathsep.join([str(folder), found["PYTHONPATH"]])}


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
