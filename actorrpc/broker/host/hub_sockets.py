"""The sockets in the runtime directory at which a hub can be called when its broker has gone: ``hub-N.sock``.

They are named by way of the directory's descriptor: the kernel's sockaddr_un has room for 107 bytes, and a
path that is short enough for ``broker.sock`` may not be for these.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.loop.descriptors import close_now
from actorrpc.net.sockets import PlainSocket

__all__ = ["call_hub", "listen_for_calls"]

#: Brokers that have called and have died since, one after the other, while a hub was stopped, say.
BACKLOG = 128


def listen_for_calls(directory: RuntimeDir, serial: int) -> socket.socket:
    """Make the socket for the process with this serial, which is to listen at it. Raises OSError."""
    sock = PlainSocket(socket.AF_UNIX)
    try:
        with _short(directory) as short:
            name = f"{short}/{_name(directory, serial)}"
            if os.path.lexists(name):  # of a server that had no such numbers
                os.unlink(name)
            sock.bind(name)
            os.chmod(name, 0o600)
        sock.listen(BACKLOG)
        return sock
    except BaseException:
        sock.close()
        raise


def call_hub(directory: RuntimeDir, serial: int) -> socket.socket:
    """Call a hub. It may take the call later, but what is sent reaches it then.

    Raises OSError: FileNotFoundError if it cannot be called, ConnectionRefusedError if it has ended.
    """
    sock = PlainSocket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        with _short(directory) as short:
            sock.connect(f"{short}/{_name(directory, serial)}")
        return sock
    except BaseException:
        sock.close()
        raise


def _name(directory: RuntimeDir, serial: int) -> str:
    return os.path.basename(directory.call_path(serial))


@contextmanager
def _short(directory: RuntimeDir) -> Iterator[str]:
    """A short path of the directory."""
    fd = os.open(directory.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        close_now(fd)
