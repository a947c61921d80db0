"""Hubs without a broker, as processes: by pidfds, so that no later process with a pid is mistaken for one.
Imports no gevent."""

from __future__ import annotations

import select
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from actorrpc.broker.host.pidfds import open_pidfd
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.loop.descriptors import close_now

__all__ = ["kill_hubs", "stop_hubs"]

#: When a hub that has not ended is told so again.
AGAIN = 0.2


def stop_hubs(directory: RuntimeDir, patience: float) -> int:
    """Ask each hub to stop, and kill those that have not gone after ``patience`` seconds. Returns how many
    there were."""
    deadline = time.monotonic() + patience
    with _opened(directory, directory.living_hubs()) as processes:
        # More than once: at the first, a hub gives its connections to others, which are to end as well.
        # Signals that come together are one.
        ended = not processes
        while not ended and time.monotonic() < deadline:
            _signal(processes, signal.SIGTERM)
            ended = _wait(processes, min(time.monotonic() + AGAIN, deadline))
        _signal(processes, signal.SIGKILL)
        _wait(processes, None)
        return len(processes)


def kill_hubs(directory: RuntimeDir, hubs: dict[int, int]) -> None:
    """Kill hubs, by serial, with their pids, and wait until they have ended."""
    with _opened(directory, hubs) as processes:
        _signal(processes, signal.SIGKILL)
        _wait(processes, None)


@contextmanager
def _opened(directory: RuntimeDir, hubs: dict[int, int]) -> Iterator[list[int]]:
    """The pidfds of hubs, by serial and pid."""
    with ExitStack() as opened:
        processes = []
        for serial, pid in hubs.items():
            if not pid:  # it has not been told to start, and ends by itself
                continue
            with suppress(ProcessLookupError):
                process = open_pidfd(pid)
                opened.callback(close_now, process)
                # Still locked, so this is still the hub and no later process with its pid.
                if directory.living_hubs().get(serial) == pid:
                    processes.append(process)
        yield processes


def _signal(processes: Sequence[int], signum: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signum)


def _wait(processes: Sequence[int], deadline: float | None) -> bool:
    """Wait until the processes have ended: their pidfds become readable. Returns whether all have."""
    ended = True
    for process in processes:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        ended &= bool(poll.poll(None if deadline is None else max(deadline - time.monotonic(), 0) * 1000))
    return ended
