"""An app whose handlers hold their hub as an item's ``text`` says, for its ``sleep`` seconds.

Those that block do so only until there is the file that the item's ``body`` names, if it names one.
"""

from __future__ import annotations

import os
import signal
import time
import timeit
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original, is_module_patched

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase, StatelessBase
from tests.apps.shapes_pb2 import Item, Tally

#: The system's own, which gevent knows nothing of.
block: Callable[[float], None] = get_original("time", "sleep")

#: Signals that the app has heard.
HEARD: list[int] = []
if is_module_patched("socket"):  # in a process of its own
    # That which a hub would take first: it has to take another one.
    signal.signal(signal.SIGRTMAX - 1, lambda signum, frame: HEARD.append(signum))
    # A greenlet of the app's own, from before anything is served.
    background = gevent.spawn(Event().wait)


def compute(seconds: float) -> None:
    """Hold the interpreter's lock in a single call of C's, for so long or longer."""
    least = min(timeit.repeat("sum(range(1_000_000))", number=1, repeat=5))
    sum(range(int(1_000_000 * seconds / least)))


def block_for(item: Item) -> None:
    if not item.body:
        block(item.sleep)
    end = time.monotonic() + item.sleep
    while item.body and not os.path.exists(item.body) and time.monotonic() < end:
        block(0.02)


def fork_and_block(item: Item) -> None:
    """Have a child that lives as long as the handler."""
    if not os.fork():
        block_for(item)
        os._exit(0)
    block_for(item)


def forget_and_block(item: Item) -> None:
    """Have no handler for any real-time signal."""
    for signum in range(signal.SIGRTMIN, signal.SIGRTMAX + 1):
        signal.signal(signum, signal.SIG_DFL)
    block_for(item)


def wait_and_block(item: Item) -> None:
    gevent.sleep(item.sleep)
    block_for(item)


BLOCK: dict[str, Callable[[Item], None]] = {
    "block": block_for,
    "fork": fork_and_block,
    "forget": forget_and_block,
    "wait and block": wait_and_block,
}
WAIT: dict[str, Callable[[float], Any]] = {
    "compute": compute,
    "wait": gevent.sleep,
    "wait in a greenlet": lambda seconds: gevent.spawn(gevent.sleep, seconds),
}


def obey(item: Item) -> Item:
    if item.text in BLOCK:
        BLOCK[item.text](item)
    elif item.text in WAIT:
        WAIT[item.text](item.sleep)
    return Item(number=len(HEARD))


class Stateless(StatelessBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return obey(request)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Iterable[Item]:
        yield obey(request)

    def Collect(self, message: Item, call: actorrpc.Call[Item]) -> None:
        obey(message)

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item()

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> None:
        call.send(obey(message))


class Stateful(StatefulBase):
    state: Tally

    def on_topic(self, topic: str, message: Item) -> None:
        obey(message)

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        obey(request)
        self.state.count += 1
        return Item(number=self.state.count)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Iterable[Item]:
        yield obey(request)

    def Collect(self, message: Item, call: actorrpc.Call[Item]) -> None:
        obey(message)

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item()

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> None:
        call.send(obey(message))

    @actorrpc.concurrent
    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return obey(request)

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> None:
        self.subscribe(request.text)
        call.send_initial_metadata({"listening": "yes"})

    def Publish(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.publish(request.text, request)
        return request

    def Notes(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return Item()


app = actorrpc.App([Stateless, Stateful])
