"""Folders of ``.proto`` files that are named like a module of others, which Python finds instead.

What is generated below them cannot be imported: protoc writes no ``__init__.py``, and so a folder of its own
is a namespace, which any module or package of the same name hides, wherever it stands on ``sys.path``.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterable
from importlib.machinery import PathFinder
from pathlib import Path

from actorrpc.codegen.names import module_name

__all__ = ["warnings"]

_INSTALLED = {"site-packages", "dist-packages"}


def warnings(protos: Iterable[str], out: Path) -> list[str]:
    """Return one line for each folder below which Python would not find the modules of ``protos``.

    ``out`` is where they are written; a package that it holds itself is the user's own, also if a copy of it
    is installed.
    """
    folders = {tuple(module_name(proto, "_pb2").split(".")[:-1]) for proto in protos}
    return [
        f"warning: {name.replace('.', '/')}/: what is generated there cannot be imported, since Python finds "
        f"{whose} `{name}` instead; rename the folder, or move it into one whose name is your own"
        for name, whose in sorted(set(filter(None, (_hiding(folder, out) for folder in folders))))
    ]


def _hiding(folder: tuple[str, ...], out: Path) -> tuple[str, str] | None:
    """Return the name of the module that hides a folder, and whose it is; None if nothing does."""
    where = None
    for depth in range(1, len(folder) + 1):
        name = ".".join(folder[:depth])
        if name in sys.stdlib_module_names:
            return name, "the standard library's"
        spec = PathFinder.find_spec(name, where)  # importlib.util's would import what is around it
        if spec is None:
            return None
        if spec.has_location:  # a namespace has none
            own = out.joinpath(*folder[:depth], "__init__.py").exists()
            whose = "" if own else _whose(Path(spec.origin or ""))
            return (name, whose) if whose else None
        where = spec.submodule_search_locations
    return None


def _whose(origin: Path) -> str:
    """Say who brought a module; nothing for one that is not installed: it is the user's."""
    if _INSTALLED & set(origin.parts):
        return "the installed"
    return "the standard library's" if origin.is_relative_to(sysconfig.get_path("stdlib")) else ""
