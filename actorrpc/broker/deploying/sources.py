"""What a generation's code consisted of when it began: it is said when a hub that starts again finds other
files, since they were overwritten in place, or have gone."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from glob import escape, iglob
from typing import Any

import gevent
from gevent import get_hub
from gevent.lock import Semaphore

from actorrpc.broker.deploying.file_watch import python_files
from actorrpc.broker.deploying.generation import Generation
from actorrpc.log import about

__all__ = ["LONGEST", "MOST", "Sources"]

log = logging.getLogger("actorrpc.broker")

#: A look ends after so many files, or seconds: of a tree that is larger nothing is known, and nothing said.
MOST, LONGEST = 20_000, 1.0
#: So many files that have changed are named.
NAMED = 3

#: Files, and when each was changed, in nanoseconds.
Files = frozenset[tuple[str, int]]


class Sources:
    """Those of one generation: the Python files below its working directory, and what is installed for its
    interpreter. The first look begins at once; all are made in a thread: a large tree holds nobody up."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        #: One look at a time.
        self._looking = Semaphore()
        self._before: Any = gevent.spawn(self._look)

    def tell(self, hub: int) -> None:
        """Log it if a hub, which starts now, runs other code than the generation did when it began."""
        gevent.spawn(self._tell, hub)

    def _tell(self, hub: int) -> None:
        generation = self._generation
        gone = [
            f"{instead}, since {own} has gone"
            for own, instead in (
                (generation.directory, generation.place),
                (generation.interpreter, generation.python),
            )
            if own != instead
        ]
        if gone:
            self._say(hub, f"what there is now: {', and '.join(gone)}")
        elif changed := self._changed():
            self._say(hub, f"files that have changed since generation {generation.number} began: {changed}")

    def _say(self, hub: int, what: str) -> None:
        log.warning(
            "hub %d runs %s; `actorrpc reload` has all hubs run the same", hub, what, extra=about(hub)
        )

    def _changed(self) -> str:
        """The files that have changed, come or gone; "" if none has, or that is not known."""
        before, now = self._before.get(), self._look()
        if before is None or now is None or before == now:
            return ""
        start = self._generation.directory + os.sep
        paths = sorted({path.removeprefix(start) for path, _ in before ^ now})
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        return ", ".join(paths[:NAMED]) + more

    def _look(self) -> Files | None:
        generation = self._generation
        with self._looking:
            found: Files | None = get_hub().threadpool.apply(
                _look, (generation.directory, generation.interpreter)
            )
        return found

    def __repr__(self) -> str:
        return f"<Sources of generation {self._generation.number}>"


def _look(directory: str, interpreter: str) -> Files | None:
    """The files; None if there are too many."""
    found: list[tuple[str, int]] = []
    end = time.monotonic() + LONGEST
    for files in (python_files(directory), _installed(interpreter)):
        for each in files:
            if len(found) == MOST or time.monotonic() > end:
                return None
            found.append(each)
    return frozenset(found)


def _installed(interpreter: str) -> Iterator[tuple[str, int]]:
    """What tells of each package that is installed in the interpreter's virtual environment."""
    environment = os.path.dirname(os.path.dirname(interpreter))
    for path in iglob(os.path.join(escape(environment), "lib", "python3*", "site-packages", "*.dist-info")):
        try:
            yield path, os.stat(path).st_mtime_ns
        except OSError:  # it has gone meanwhile
            continue
