"""How the broker learns where a hub is that cannot answer: by a signal, on which ``faulthandler`` writes the
main thread's stack into a pipe, in C and without the interpreter's lock. gevent's loop is in that thread, so
it is the stack of the greenlet that holds it.

The signal is a real-time one, which hardly any program uses, and one that nobody has when the app has been
imported: what an app has installed stays.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator

from actorrpc.forks import hold_for_good

__all__ = ["dump_on_signal"]


def dump_on_signal() -> tuple[int, int] | None:
    """Have the main thread's stack written to a pipe on a signal. Returns the signal's number and the end of
    the pipe to read from, which stays open here, for the next broker; None if there is no free signal, no
    descriptor or no /proc.

    A child, forked or started, has nothing of it.
    """
    try:
        signum = next(_free(), None)
        if signum is None:
            return None
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    hold_for_good(writer)
    hold_for_good(reader)
    # Of this thread alone: others may run, and their stacks change while they are looked at.
    faulthandler.register(signum, file=writer, all_threads=False, chain=False)
    return signum, reader


def _free() -> Iterator[int]:
    """The real-time signals for which this process has no handler and which it does not ignore, from the
    last on; the very last is left to those who take that."""
    taken = _mask("SigCgt") | _mask("SigIgn") | _mask("SigBlk")
    for signum in range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1):
        if not taken >> (signum - 1) & 1:
            yield signum


def _mask(name: str) -> int:
    """A set of signals, as proc(5) has it."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith(f"{name}:"))
    return int(line.split()[1], 16)
