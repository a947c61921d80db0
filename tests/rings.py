"""Which tests are quick, and which go side by side: by the ring that a file of tests belongs to.

The inner rings are tables, two sessions joined in memory, and hubs in a thread of the test's own process. The
outer ones start servers, clients of other languages, and storms. ``tox -e quick`` runs the inner ones.
"""

from __future__ import annotations

import os
from fnmatch import fnmatch

__all__ = ["is_quick", "rank", "wants_the_machine", "workers"]

QUICK = ()
OUTER = ()
WHOLE_MACHINE = ()
LONG = ()


def is_quick(file: str) -> bool:
    """Whether a file, named relative to this folder, belongs to an inner ring."""
    return _matches(file, QUICK) and not _matches(file, OUTER)


def wants_the_machine(file: str) -> bool:
    return _matches(file, WHOLE_MACHINE)


def rank(file: str) -> int:
    """Where it stands in the order of files that go side by side; those of one rank in the order of names."""
    order = (*WHOLE_MACHINE, *LONG)
    return next((at for at, pattern in enumerate(order) if fnmatch(file, pattern)), len(order))


def workers() -> int:
    """How many processes run tests side by side."""
    return min(8, len(os.sched_getaffinity(0)) + 1)


def _matches(file: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(file, pattern) for pattern in patterns)
