"""The epoll set of gevent's loop, where descriptors are known by the files behind them."""

from __future__ import annotations

import ctypes
from typing import Any

from gevent import get_hub

__all__ = ["unregister"]

# The C function itself: the ``select`` module wants a descriptor of its own to call it with, and at the limit
# of descriptors there is none, just when one is to be given up.
_epoll_ctl: Any = ctypes.CDLL(None).epoll_ctl
_EPOLL_CTL_DEL = 2


def unregister(fd: int) -> None:
    """Take a descriptor out of the loop's epoll set, before it is closed.

    libev leaves that to the kernel, which does it when the last descriptor of the file is closed. But a moved
    socket lives on elsewhere, and so does a listening one that other hubs have: each packet or client there
    would wake this process, and make libev build its epoll set anew, which takes a descriptor. Whether it was
    in that set, or the loop has one (with GEVENT_BACKEND=poll it has none), is all the same.
    """
    loop: Any = get_hub().loop
    epoll = loop.fileno()
    if epoll is not None:
        _epoll_ctl(epoll, _EPOLL_CTL_DEL, fd, None)
