"""A wheel of this tree, as pip builds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.processes import ROOT

__all__ = ["build_wheel"]


def build_wheel(folder: Path) -> Path:
    """Build one into a folder, from a copy, so that the build leaves nothing in the tree."""
    copy = folder / "tree"
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "node_modules"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=ignored)
    isolation = ["--no-build-isolation"] if _can_build() else []
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *isolation, "--wheel-dir"]
    done = subprocess.run([*command, folder, copy], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    return built


def _can_build() -> bool:
    """Tell whether this environment can build wheels itself; setuptools 70.1 learnt it."""
    try:
        return int(version("setuptools").split(".")[0]) > 70
    except PackageNotFoundError:
        return False
