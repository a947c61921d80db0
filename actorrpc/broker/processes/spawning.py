"""Starting the process of a hub: a fresh interpreter, with a link to this one, the lock by which it is known
to live, and the socket at which it can be called."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack

from actorrpc.broker.host.hub_sockets import listen_for_calls
from actorrpc.broker.host.runtime_dir import Claim
from actorrpc.broker.processes.os_process import Child, OsProcess
from actorrpc.loop.descriptors import close_now

__all__ = ["HUB_MODULE", "spawn"]

#: What an interpreter is to run. gevent patches before it runs the module, and the module before `actorrpc`
#: is imported.
HUB_MODULE = ("-m", "gevent.monkey", "--module", "actorrpc.hub")


def spawn(
    serial: int, claim: Claim, command: Sequence[str], directory: str | None
) -> tuple[OsProcess, socket.socket]:
    """Start a hub's process, which works in ``directory``; None: where this one does. Returns it, and our end
    of the link to it.

    Raises OSError or ConfigError.
    """
    with ExitStack() as on_error, ExitStack() as always:
        ours, theirs = socket.socketpair()
        on_error.callback(ours.close)
        always.callback(theirs.close)
        lock = claim.open_hub_file(serial)
        always.callback(close_now, lock)
        calls = listen_for_calls(claim.directory, serial)
        always.callback(calls.close)
        popen = _popen(command, theirs.fileno(), lock, calls.fileno(), directory)
        on_error.callback(popen.wait)
        on_error.callback(popen.kill)
        os.write(lock, f"{popen.pid}\n".encode())
        child = Child(popen)
        on_error.pop_all()
        return child, ours


def _popen(
    command: Sequence[str], control: int, lock: int, calls: int, directory: str | None
) -> subprocess.Popen[bytes]:
    # Ctrl-C reaches the whole foreground group, as SIGHUP may, and only the broker shall obey: the hub
    # starts with both blocked, and does nothing at them as soon as it can.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    try:
        return subprocess.Popen(
            [*command, "--control-fd", str(control), "--lock-fd", str(lock), "--call-fd", str(calls)],
            pass_fds=(control, lock, calls),
            stdin=subprocess.DEVNULL,
            cwd=directory,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
