"""Actors that count, and start children on request."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import gevent

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase
from tests.apps.shapes_pb2 import Item, Tally
from tests.forks import tasks
from tests.forks.ways import WAYS

#: What a user has opened stays the child's too.
OWN = socket.socketpair()
PID = os.getpid()
SERVER = socket.create_server(("127.0.0.1", 0))


class Stateful(StatefulBase):
    state: Tally
    #: What the hub's actors share.
    value = actorrpc.per_hub(os.getpid)
    #: Where this instance has been made.
    home = actorrpc.transient(os.getpid)

    def __init__(self) -> None:
        """Start a child, where its folder wants one."""
        folder = os.environ.get("FORKS_FOLDER", "")
        if folder and Path(folder, "wanted").exists():
            WAYS["os.fork"](folder, "blocks")

    def on_call_end(self, call: actorrpc.Call[Item], status: actorrpc.StatusCode, message: str) -> None:
        if os.getpid() != self.home:
            print("on_call_end runs in a child", file=sys.stderr, flush=True)

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.count += 1
        assert self.value == self.home
        return Item(number=self.state.count, text=str(os.getpid()))

    @actorrpc.concurrent
    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        """``text`` is a way to start a child and ``body`` its folder and manner, or a task of ``tasks``."""
        assert self.value == self.home
        if request.text == "own":
            own = [os.readlink(f"/proc/self/fd/{each.fileno()}") for each in (*OWN, SERVER)]
            return Item(text="\n".join(own))
        if request.text in WAYS:
            folder, manner = request.body.decode().split("\n")
            WAYS[request.text](folder, manner)
            return Item(text="started")
        try:
            return Item(text=repr(tasks.TASKS[request.text](self, call, request.body.decode())))
        except Exception:
            if os.getpid() != PID:
                raise
            return Item(text=traceback.format_exc())

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Iterator[Item] | None:
        """Wait for ever; who leaves says so in the file that ``text`` names. Without one, start children."""
        if not request.text:
            return self._children()
        try:
            call.send_initial_metadata({"waiting": "yes"})
            call.send(Item())
            gevent.sleep(3600)
        finally:
            with Path(request.text).open("a") as file:
                file.write(f"{os.getpid()}\n")
        return None

    def _children(self) -> Iterator[Item]:
        """The statuses of one that comes out with a reply, and of one that comes to the end."""
        pid = os.fork()
        if pid == 0:
            yield Item(text="from the child")
        yield Item(number=tasks.status_of(pid))
        pid = os.fork()
        if pid == 0:
            return
        yield Item(number=tasks.status_of(pid))


app = actorrpc.App([Stateful])
