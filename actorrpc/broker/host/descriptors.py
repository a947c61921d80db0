"""Whether this process may have as many file descriptors as its hubs will need."""

from __future__ import annotations

import os
import resource

from actorrpc.errors import ConfigError

__all__ = ["check_descriptors", "needed_descriptors"]

#: The broker keeps for each process of a hub the link to it, its pidfd, and the pipe into which it writes its
#: stack.
PER_PROCESS = 3
#: For each hub, beside its listening sockets, two processes: during a reload it has one of each generation.
PER_HUB = 2 * PER_PROCESS
#: For the lock and socket of the runtime directory, the loop's own descriptors, a few command lines that
#: ask, and what is open while a hub starts or two hubs are introduced to each other.
RESERVE = 32


def needed_descriptors(hubs: int, already_open: int, running: int = 0, addresses: int = 1) -> int:
    """What the broker needs: what is open already; for each hub that is to start, six, and a socket for each
    of the ``addresses``; three for the next generation of each that is running; and a reserve.

    A hub starts with fewer, one link to each other process beside its own few, and inherits the same limit.
    """
    return already_open + (PER_HUB + addresses) * (hubs - running) + PER_PROCESS * running + RESERVE


def check_descriptors(hubs: int, running: int = 0, addresses: int = 1) -> None:
    """Raise ConfigError if the limit of open files does not allow so many hubs, of which some are running, to
    listen on so many addresses."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = needed_descriptors(hubs, len(os.listdir("/proc/self/fd")), running, addresses)
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise ConfigError(
            f"{hubs} hubs need {needed} file descriptors in the broker, and the limit is {limit}: "
            "start fewer hubs, or raise the limit (ulimit -n)"
        )
