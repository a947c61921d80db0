"""New hubs leave the cores to those that serve, until they are ready: to import an app takes a whole core.

Anybody may lower the priority of what is his. To raise it again takes a privilege, or RLIMIT_NICE
(setrlimit(2)): where neither is there it is not lowered.
"""

from __future__ import annotations

import logging
import os
from functools import cache

from gevent.threadpool import ThreadPool

from actorrpc.loop.timers import Timer

__all__ = ["LowPriority", "may_raise_again"]

log = logging.getLogger("actorrpc.broker")

#: By how much the nice value is raised: of a core that both want, the others get nine times as much.
LOWER = 10
#: After so many seconds a new hub gets its share: where all cores are busy it would take for ever.
LONGEST = 10.0
#: A thread that began meanwhile has the priority of the one that began it.
_PASSES = 5
_LEAST = 19


class LowPriority:
    """The low priority of a process that has just been started, until ``end``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._usual = os.getpriority(os.PRIO_PROCESS, 0)
        self._timer = Timer()
        if may_raise_again():
            os.setpriority(os.PRIO_PROCESS, pid, min(self._usual + LOWER, _LEAST))
            self._timer.set(LONGEST, self.end)

    def end(self) -> None:
        """Have all its threads run like those of this process. Does nothing from the second time on."""
        if not self._timer.active:
            return
        self.close()
        try:
            for _ in range(_PASSES):
                if not self._raise():
                    return
        except OSError as error:
            log.warning("the process %d keeps a low priority: %s", self._pid, error)

    def close(self) -> None:
        """Leave it as it is from now on: the process has ended, say."""
        self._timer.stop()

    def _raise(self) -> bool:
        """Whether there was one to raise."""
        found = False
        for thread in _threads(self._pid):
            try:
                if os.getpriority(os.PRIO_PROCESS, thread) > self._usual:
                    found = True
                    os.setpriority(os.PRIO_PROCESS, thread, self._usual)
            except ProcessLookupError:  # it has ended
                continue
        return found


def _threads(pid: int) -> list[int]:
    """The threads of a process; only its first where /proc does not show it (proc(5), hidepid)."""
    try:
        return [int(thread) for thread in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return [pid]


@cache
def may_raise_again() -> bool:
    """Whether this process may raise a priority that it has lowered.

    Tried, since no limit and no capability says it for sure: a container may show one that does not count. A
    thread has a priority of its own, so that this one is lost if it may not.
    """
    try:
        pool = ThreadPool(1)
        try:
            return bool(pool.apply(_try))
        finally:
            pool.kill()
    except (OSError, RuntimeError):  # there is no room for a thread
        return False


def _try() -> bool:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    if before >= _LEAST:
        return False
    os.setpriority(os.PRIO_PROCESS, 0, before + 1)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, before)
    except OSError:
        return False
    return True
