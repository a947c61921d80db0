"""An app whose threads call a keyed actor, beside calls: two in each hub, as long as that serves.

Each reply is a line in the file `replies` where it is served: the thread, and the number that the actor has
counted. They end, with a line in `ended`, once there is a file `enough`. With a file `stuck`, another thread
makes a call that is never answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import gevent
from gevent.monkey import get_original

import actorrpc
from tests.apps.rooms import Room
from tests.apps.rooms_actorrpc import RoomStub
from tests.apps.rooms_pb2 import Line

sleep: Callable[[float], object] = get_original("time", "sleep")

#: Between two calls of one thread, in seconds: others have the machine, too.
PAUSE = 0.004

stopping = False
threads: list[Any] = []


def note(file: str, what: object) -> None:
    with open(file, "a") as lines:
        lines.write(f"{what}\n")


def call(who: str) -> None:
    room = RoomStub(app.actor("counted"))
    try:
        while not (stopping or os.path.exists("enough")):
            note("replies", f"{who} {room.Post(Line(text=who), timeout=60).number}")
            room.Post.tell(Line(text=who))  # it counts, too
            sleep(PAUSE)
        note("ended", who)
    except BaseException as error:
        note("errors", f"{who} {error!r}")


def wait_for_ever() -> None:
    try:
        RoomStub(app.actor("stuck")).Post(Line(sleep=10_000))
    except BaseException as error:
        note("stuck", repr(error))


def on_start() -> None:
    pool = gevent.get_hub().threadpool
    threads.extend(pool.spawn(call, f"{os.getpid()}.{thread}") for thread in range(2))
    if os.path.exists("stuck"):
        pool.spawn(wait_for_ever)


def on_stop() -> None:
    global stopping
    stopping = True
    for thread in threads:
        thread.get()


app = actorrpc.App([Room], on_start=on_start, on_stop=on_stop)
