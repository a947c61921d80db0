"""The links between hubs of a running server, found and broken from outside: nothing in the product helps.

It takes a process that may trace others, as root may.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import until

__all__ = ["break_link", "link_between"]

# <linux/netlink.h>, <linux/sock_diag.h>, <linux/unix_diag.h>
NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLMSG_DONE, NLMSG_ERROR = 4, 20, 3, 2
REQUEST_DUMP, ALL_STATES, SHOW_PEER, UNIX_DIAG_PEER = 0x301, 0xFFFFFFFF, 4, 2
#: The same on all architectures.
SYS_PIDFD_GETFD = 438

_HEADER, _QUESTION, _ANSWER = struct.Struct("=IHHII"), struct.Struct("=BBHIIIII"), struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HHI")


def link_between(one: int, other: int) -> int | None:
    """The inode of one process's end of the link to another; None if there is none. Of several, as there may
    be for a moment, the latest."""
    ends, others = _sockets(one), _sockets(other)
    found = [inode for inode, peer in _peers().items() if inode in ends and peer in others]
    return max(found, default=None)


def break_link(one: int, other: int) -> int:
    """Break the link between two processes, in both directions. Returns the inode that it had."""
    # A process that closed its end while this one has it too would hear of it still: epoll goes by files.
    with _stopped(one):
        inode = link_between(one, other)
        assert inode is not None, f"no link between {one} and {other}"
        with closing(socket.socket(fileno=_fetch(one, _sockets(one)[inode]))) as sock:
            sock.shutdown(socket.SHUT_RDWR)
    return inode


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _sockets(pid: int) -> dict[int, int]:
    """A process's sockets: their descriptors by inode."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            found[int(target[8:-1])] = int(entry.name)
    return found


def _fetch(pid: int, fd: int) -> int:
    """A descriptor of another process, as one of this."""
    pidfd = os.pidfd_open(pid)
    try:
        found = int(ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, fd, 0))
    finally:
        os.close(pidfd)
    if found < 0:
        pytest.skip(
            f"who runs the tests may not take another's descriptor: {os.strerror(ctypes.get_errno())}"
        )
    return found


def _peers() -> dict[int, int]:
    """All connected unix sockets of the machine, by inode, and their other ends."""
    peers: dict[int, int] = {}
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    except OSError as error:
        pytest.skip(f"the kernel does not tell which sockets belong together: {error}")
    with sock:
        question = _QUESTION.pack(socket.AF_UNIX, 0, 0, ALL_STATES, 0, SHOW_PEER, 0, 0)
        length = _HEADER.size + len(question)
        sock.send(_HEADER.pack(length, SOCK_DIAG_BY_FAMILY, REQUEST_DUMP, 1, 0) + question)
        while _take(sock.recv(1 << 20), peers):
            pass
    return peers


def _take(data: bytes, peers: dict[int, int]) -> bool:
    """Take an answer. Returns whether more follow."""
    while data:
        length, kind, *_ = _HEADER.unpack_from(data)
        if kind in (NLMSG_DONE, NLMSG_ERROR):
            return False
        _, _, _, _, inode, *_ = _ANSWER.unpack_from(data, _HEADER.size)
        if length >= _HEADER.size + _ANSWER.size + _ATTRIBUTE.size:
            _, attribute, peer = _ATTRIBUTE.unpack_from(data, _HEADER.size + _ANSWER.size)
            if attribute == UNIX_DIAG_PEER:
                peers[inode] = peer
        data = data[(length + 3) & ~3 :]
    return True
