"""The program of a hub process: ``python -m gevent.monkey --module actorrpc.hub --control-fd N --lock-fd M
--call-fd L``.

The broker starts it so, because by the time this file runs ``actorrpc`` has long been imported, and gevent
must patch first.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys

from gevent.monkey import is_module_patched

from actorrpc.forks import hold_for_good
from actorrpc.hub.node import Node
from actorrpc.hub.runtime import grpcio, multiprocess
from actorrpc.hub.runtime.locks import share_logging
from actorrpc.hub.watching.dumps import dump_on_signal
from actorrpc.hub.worker import Worker
from actorrpc.log import log_uncaught
from actorrpc.loop.descriptors import raise_limit


def main() -> int:
    parser = argparse.ArgumentParser(prog="actorrpc.hub", description="A hub process; the broker starts it.")
    parser.add_argument("--control-fd", type=int, required=True, help="the link to the broker")
    parser.add_argument("--lock-fd", type=int, required=True, help="the locked file of a hub that lives")
    parser.add_argument("--call-fd", type=int, required=True, help="where another broker may call")
    given = parser.parse_args()
    if not is_module_patched("socket"):
        parser.error("gevent has not patched this process: start hubs with `actorrpc serve`")
    _leave_to_broker(signal.SIGINT, signal.SIGHUP)
    raise_limit()
    # No process that the app starts may hold the lock or the link when this one has gone.
    os.set_inheritable(given.control_fd, False)
    os.set_inheritable(given.lock_fd, False)
    os.set_inheritable(given.call_fd, False)
    hold_for_good(given.lock_fd)
    multiprocess.cooperate()
    grpcio.cooperate()
    share_logging()
    log_uncaught(logging.getLogger("actorrpc.hub"))
    control, calls = socket.socket(fileno=given.control_fd), socket.socket(fileno=given.call_fd)
    return Worker(control, calls, Node, dump_on_signal).run()


def _leave_to_broker(*signals: signal.Signals) -> None:
    """Ctrl-C, and the end of a terminal, go to the whole group, and are the broker's business; it has blocked
    the signals for the time until here.

    By a handler: programs that the app starts would inherit SIG_IGN, and so ignore them for good.
    """
    for signum in signals:
        signal.signal(signum, lambda number, frame: None)
        signal.siginterrupt(signum, False)  # nothing of the app's is interrupted
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signum])


if __name__ == "__main__":
    sys.exit(main())
