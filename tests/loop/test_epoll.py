"""What gevent's loop is woken by when others have the same file."""

from __future__ import annotations

import socket

import gevent
import pytest
from gevent import get_hub

from actorrpc.hub.accepting.listener import Listener
from actorrpc.net.sockets import PlainSocket
from tests.support.waiting import until


def watched() -> list[int]:
    """The descriptors in the loop's epoll set, as the kernel knows them (proc(5))."""
    with open(f"/proc/self/fdinfo/{get_hub().loop.fileno()}") as info:
        return [int(line.split()[1]) for line in info if line.startswith("tfd:")]


@pytest.mark.skipif(get_hub().loop.fileno() is None, reason="the loop has no epoll set")
def test_a_queue_that_was_given_up_wakes_nobody_when_clients_come_to_those_who_have_it() -> None:
    with PlainSocket(socket.AF_INET) as queue:
        queue.bind(("127.0.0.1", 0))
        queue.listen()
        listener = Listener(queue.dup(), lambda *_: None, lambda: True, lambda: None, lambda error: None)
        fd = listener.fileno()
        until(lambda: fd in watched(), sleep=gevent.sleep)
        listener.close()
        assert fd not in watched()
