"""An app that does something beside calls. What else it does, the words in a file `how` say, where it is
served; what has happened stands in `events` there.

Each hub publishes to the topic "beside" from a greenlet and from two threads: consecutive numbers, with a
text that says who it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent.monkey import get_original

import actorrpc
from tests.apps.shapes import Stateful, Stateless
from tests.apps.shapes_pb2 import Item

#: Between two publications of one publisher, in seconds.
PAUSE = 0.004

how = Path("how").read_text().split() if os.path.exists("how") else []
stopping = False


def note(what: str) -> None:
    with open("events", "a") as events:
        events.write(f"{what} {os.getpid()}\n")


def tell(what: str, number: int = 0) -> None:
    app.publish("beside", Item(text=f"{what} {os.getpid()}", number=number))


def publish(who: str, sleep: Callable[[float], object]) -> None:
    number = 0
    while not stopping:
        tell(who, number)
        number += 1
        sleep(PAUSE)


def on_start() -> None:
    note("start")
    tell("start")
    if "raise" in how:
        raise ZeroDivisionError("there is no database")
    if "block" in how:
        gevent.sleep(1000)
    gevent.spawn(publish, "greenlet", gevent.sleep)
    for thread in range(2):
        gevent.get_hub().threadpool.spawn(publish, f"thread-{thread}", get_original("time", "sleep"))


def on_stop() -> None:
    global stopping
    stopping = True
    tell("stop")
    note("stop")


app = actorrpc.App([Stateless, Stateful], on_start=on_start, on_stop=on_stop)
