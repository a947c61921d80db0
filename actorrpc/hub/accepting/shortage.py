"""When accepting fails for want of descriptors or memory: said once when it begins, and once at its end."""

from __future__ import annotations

import errno
import logging
import resource
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

__all__ = ["CALM", "Shortage"]

log = logging.getLogger("actorrpc.hub")

#: For how many seconds nothing must have failed before it is over: at the limit each client that leaves makes
#: room for one that waits, and accepting fails again a moment later.
CALM = 5.0

_FILE_MAX = "/proc/sys/fs/file-max"


class Shortage:
    """Whether this process can accept connections at all. ``clock()`` gives seconds that only go forward."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        #: When accepting failed first and last; None while it does not.
        self._since: float | None = None
        self._last = 0.0

    def met(self, error: OSError) -> None:
        """Accepting has failed, and pauses for a moment."""
        self._last = self._clock()
        if self._since is None:
            self._since = self._last
            log.warning("accepting pauses: %s; clients wait, or other hubs accept them", _described(error))

    def look(self, crowded: bool) -> bool:
        """Find out whether it has begun, or is over; call it now and then. ``crowded``: no file can be opened
        now. Returns that."""
        if crowded:
            self.met(OSError(errno.EMFILE, ""))
        elif self._since is not None and self._clock() - self._last >= CALM:
            log.info("accepts connections again, after %.0f s", self._last - self._since)
            self._since = None
        return crowded

    def __repr__(self) -> str:
        return f"<Shortage{' of something' if self._since is not None else ', none'}>"


def _described(error: OSError) -> str:
    """What is short, and what its limit is."""
    if error.errno == errno.EMFILE:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return f"this process may have {limit} open files, and has them (`ulimit -n`, LimitNOFILE=)"
    if error.errno == errno.ENFILE:
        return f"this machine has all the open files that it may have ({_file_max()}fs.file-max)"
    return str(error)


def _file_max() -> str:
    with suppress(OSError), open(_FILE_MAX) as file:  # there may be no room for this one either
        return f"{file.read().strip()}, "
    return ""
