"""Which descriptors of a process are ours, and how a forked child loses them.

A socket that listens or was accepted is known by the address that it is bound to, whoever has it at the
moment: an object, a message under way, or a variable. So none can be forgotten, and no connection pays for
it. The others, few in a process, are known by their holders.
"""

from __future__ import annotations

import _socket
import os
import resource
import socket
from collections.abc import Iterable
from typing import Any, Protocol
from weakref import WeakSet

from actorrpc.loop.descriptors import close_now

__all__ = ["Holder", "close_now", "close_ours", "hold", "hold_for_good", "serves"]


class Holder(Protocol):
    """Has descriptors that no child may keep."""

    def descriptors(self) -> Iterable[int]:
        """Those that are open now."""


#: A unix path, or host and port; no host stands for any.
_Place = str | bytes | tuple[str, int]

_holders: WeakSet[Holder] = WeakSet()
_places: set[_Place] = set()
_numbers: set[int] = set()

_ANY_HOST = ("0.0.0.0", "::")
_INTERNET = (socket.AF_INET, socket.AF_INET6)


def hold(holder: Holder) -> None:
    """Let no child keep the holder's descriptors, for as long as it exists."""
    _holders.add(holder)


def hold_for_good(fd: int) -> None:
    """Let no child keep this descriptor, which stays open until the process ends."""
    _numbers.add(fd)


def serves(listener: socket.socket) -> None:
    """Let no child keep a socket that is bound to the address of this one, now or later."""
    if (place := _place_of(listener.family, listener.getsockname())) is not None:
        _places.add(place)


def close_ours() -> None:
    """Close our descriptors in a child.

    Each number stays taken, by /dev/null: an object of the parent that is freed later closes what it believes
    to be its own, and that must not be a file which the child has opened since. Nothing is shut down: the
    connection is the parent's.
    """
    held = {fd for holder in list(_holders) for fd in holder.descriptors()}
    ours = {fd for fd in held | _numbers if _is_open(fd)}
    ours.update(fd for fd in _open_descriptors() if _is_served(fd))
    _holders.clear()
    _places.clear()
    _numbers.clear()
    if not ours:
        return
    first = ours.pop()
    try:
        null = _open_null()
    except OSError:  # this process has no descriptor left: now it has one
        close_now(first)
        null = _open_null()
    for fd in (first, *ours):
        if fd != null:
            os.dup2(null, fd, inheritable=False)
    if null != first:
        close_now(null)


def _open_null() -> int:
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _open_descriptors() -> Iterable[int]:
    """At least all that are open."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # no /proc, or no descriptor left to read it with
        return range(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _is_served(fd: int) -> bool:
    """Whether it is a socket that is bound to an address of ours."""
    try:
        sock = _socket.socket(fileno=fd)
    except OSError:  # it is not a socket, or not open
        return _is_snapshot(fd)
    try:
        place = _place_of(sock.family, sock.getsockname()) if sock.type == socket.SOCK_STREAM else None
    except OSError:
        return False
    finally:
        sock.detach()
    return place in _places or (isinstance(place, tuple) and ("", place[1]) in _places)


def _is_snapshot(fd: int) -> bool:
    """Whether it is a snapshot on its way (``hub.moving.memfd``): an app may fork while one is read."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:actorrpc-snapshot")
    except OSError:
        return False


def _place_of(family: int, name: Any) -> _Place | None:
    """Where a socket is bound to; None if that says nothing."""
    if family == socket.AF_UNIX:
        return name or None
    if family not in _INTERNET:
        return None
    host, port = name[:2]
    return ("" if host in _ANY_HOST else host, port) if port else None
