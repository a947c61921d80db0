"""Virtual environments with a wheel of this tree in each: as it is, or as one of another version would be."""

from __future__ import annotations

import re
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from venv import EnvBuilder
from zipfile import ZipFile

__all__ = ["Formats", "make_environment"]

#: From the oldest and the newest that this tree knows to those that another version would know.
Formats = Callable[[int, int], tuple[int, int]]

_COMMAND = """#!{interpreter}
import sys
from actorrpc.cli.commands import main
sys.exit(main())
"""
_FORMATS = re.compile(r"^(CONTROL|LINKS|SNAPSHOTS) = Formats\((\d+), (\d+)\)$", re.MULTILINE)


def make_environment(folder: Path, wheel: Path, version: str = "", formats: Formats | None = None) -> None:
    """Make one, as ``python -m venv`` and pip do; what actorrpc depends on it has from the test's own.

    ``version``: what its actorrpc says that it is; ``formats``: which ones of messages and snapshots that
    understands.
    """
    EnvBuilder(symlinks=True).create(folder)
    (packages,) = folder.glob("lib/python3*/site-packages")
    ZipFile(wheel).extractall(packages)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = folder / "bin/actorrpc"
    # The first line is as pip writes it: with the name that the environment was made by.
    command.write_text(_COMMAND.format(interpreter=folder / "bin" / Path(sys.executable).name))
    command.chmod(0o755)
    if version:
        (metadata,) = packages.glob("actorrpc-*.dist-info/METADATA")
        _edit(metadata, re.compile(r"^Version: .*$", re.MULTILINE), lambda found: f"Version: {version}", 1)
    if formats is not None:
        hello = packages / "actorrpc/ipc/hello.py"
        _edit(hello, _FORMATS, lambda found: _changed(found, formats), 3)


def _changed(found: re.Match[str], formats: Formats) -> str:
    oldest, newest = formats(int(found[2]), int(found[3]))
    return f"{found[1]} = Formats({oldest}, {newest})"


def _edit(path: Path, what: re.Pattern[str], into: Callable[[re.Match[str]], str], times: int) -> None:
    text, count = what.subn(into, path.read_text())
    assert count == times, f"{path} is not as it was when this was written"
    path.write_text(text)
