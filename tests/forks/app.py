"""Actors that count, and start children on request."""

from __future__ import annotations

import os
import socket
import traceback
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

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.count += 1
        return Item(number=self.state.count, text=str(os.getpid()))

    @actorrpc.concurrent
    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        """``text`` is a way to start a child and ``body`` its folder and manner, or a task of ``tasks``."""
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

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> None:
        """Wait for ever; who leaves says so in the file that ``text`` names."""
        try:
            call.send_initial_metadata({"waiting": "yes"})
            call.send(Item())
            gevent.sleep(3600)
        finally:
            with Path(request.text).open("a") as file:
                file.write(f"{os.getpid()}\n")


app = actorrpc.App([Stateful])
