"""Reloading when the app's files change, for development: `actorrpc serve --reload`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent import get_hub

__all__ = ["FileWatch", "python_files"]

log = logging.getLogger("actorrpc.broker")

#: Seconds between two looks. An editor or a checkout may write many files: it is told once a look has found
#: nothing more.
LOOK = 0.5


def python_files(directory: str) -> Iterator[tuple[str, int]]:
    """The Python files below a directory, and when they were changed, in nanoseconds: without hidden folders,
    and those of virtual environments and packages of Node's."""
    try:
        entries = list(os.scandir(directory))
    except OSError:  # it has gone meanwhile
        return
    if any(entry.name == "pyvenv.cfg" for entry in entries):
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in ("__pycache__", "node_modules"):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from python_files(entry.path)
        elif entry.name.endswith(".py"):
            try:
                yield entry.path, entry.stat().st_mtime_ns
            except OSError:
                continue


class FileWatch:
    """Calls ``changed()`` when Python files below ``directory`` have changed, come or gone, while the block
    runs, and again as long as that returns False. It looks in a thread, so that a large tree holds nobody
    up."""

    def __init__(self, directory: str, changed: Callable[[], bool]) -> None:
        self._directory = directory
        self._changed = changed
        self._greenlet: Any = None

    def __enter__(self) -> FileWatch:
        self._greenlet = gevent.spawn(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        self._greenlet.kill()

    def _run(self) -> None:
        before = self._look()
        while True:
            gevent.sleep(LOOK)
            now = self._look()
            if now == before:
                continue
            while (later := self._wait_and_look()) != now:
                now = later
            path = min((name for name, _ in before ^ now), default="")
            if path:
                log.info("%s has changed", os.path.relpath(path, self._directory))
            if self._changed():
                before = now

    def _wait_and_look(self) -> frozenset[tuple[str, int]]:
        gevent.sleep(LOOK)
        return self._look()

    def _look(self) -> frozenset[tuple[str, int]]:
        found: frozenset[tuple[str, int]] = get_hub().threadpool.apply(
            lambda: frozenset(python_files(self._directory))
        )
        return found

    def __repr__(self) -> str:
        return f"<FileWatch on {self._directory}>"
