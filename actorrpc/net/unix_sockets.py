"""Unix sockets that listen at a path: opened where nobody does, and removed by whoever opened them.

A server that was killed leaves its file, at which nobody listens: such a file is replaced. Of two servers
that start at once only one may find it so. Hence the lock, on the folder: it leaves no file of its own
behind.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from actorrpc.errors import ConfigError
from actorrpc.loop.descriptors import close_now

__all__ = ["SocketFile", "listen_at"]

#: How long the other server that opens a socket in the same folder may take.
PATIENCE = 2.0
_LOOK = 0.01


@dataclass(frozen=True)
class SocketFile:
    """The file of a unix socket, as it was when this server made it."""

    path: str
    device: int
    inode: int
    #: The process that may remove it: a child that was forked may not.
    pid: int = field(default_factory=os.getpid)

    def remove(self) -> None:
        """Remove it, unless another one lies there now.

        To be called before the last process has closed the socket: until then no other file has its inode.
        """
        if os.getpid() != self.pid:
            return
        with suppress(OSError):
            found = os.lstat(self.path)
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                os.unlink(self.path)


def listen_at(path: str, mode: int | None, backlog: int) -> tuple[socket.socket, SocketFile]:
    """Listen at a path, with these permissions from the first client on; None: as the umask says.

    Raises OSError, and ConfigError if somebody listens there, or what lies there is no socket.
    """
    with _lock(os.path.dirname(path)):
        _make_room(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        file = None
        try:
            sock.bind(path)
            made = os.lstat(path)
            file = SocketFile(path, made.st_dev, made.st_ino)
            if mode is not None:
                os.chmod(path, mode)
            sock.listen(backlog)  # until now nobody can connect
        except BaseException:
            if file is not None:
                file.remove()
            sock.close()
            raise
        return sock, file


@contextmanager
def _lock(folder: str) -> Iterator[None]:
    """Hold the lock of a folder; nothing where it may be written, and not read."""
    lock = -1
    with suppress(PermissionError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PATIENCE
        while lock >= 0 and not _locked(lock):
            if time.monotonic() > deadline:
                raise ConfigError(f"another process keeps {folder} locked")
            time.sleep(_LOOK)
        yield
    finally:
        if lock >= 0:
            close_now(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_room(path: str) -> None:
    """Remove a socket at which nobody listens."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise ConfigError("there is a file which is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        asker.setblocking(False)
        try:
            asker.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except FileNotFoundError:
            return
        except PermissionError:
            raise ConfigError("there is a socket which this user may not connect to") from None
        except OSError:
            pass  # its queue is full, or it is of another kind: somebody has it
    raise ConfigError("somebody listens there")
