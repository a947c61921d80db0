"""An app whose handlers call another server, or this one, by grpcio, which they import when they need it."""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
from collections.abc import Callable
from typing import Any

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase, StatelessBase, StatelessStub
from tests.apps.shapes_pb2 import Item, Tally


def call(address: str, number: int = 0) -> Item:
    """A call that waits for its reply."""
    import grpc

    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return StatelessStub(channel).Unary(Item(number=number))


@functools.cache
def kept(address: str) -> Any:
    import grpc

    return grpc.insecure_channel(address)


def call_on_kept(address: str) -> Item:
    """A call on a channel that stays open, as most are."""
    return StatelessStub(kept(address)).Unary(Item())


def call_with_future(address: str) -> Item:
    import grpc

    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return StatelessStub(channel).Unary.future(Item()).result()


def stream(address: str) -> Item:
    import grpc

    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        return list(StatelessStub(channel).Expand(Item(number=3)))[-1]


def call_asyncio(address: str) -> Item:
    import grpc.aio

    async def run() -> Item:
        async with grpc.aio.insecure_channel(address) as channel:
            unary: Any = StatelessStub(channel).Unary
            item: Item = await unary(Item())
            return item

    try:
        return asyncio.run(run())
    except RuntimeError as error:
        return Item(text=str(error))


def locks(address: str) -> Item:
    """Of what kind are the locks of grpcio's calls and channels."""
    import grpc._channel
    from grpc._cython import cygrpc  # type: ignore[attr-defined]

    state = grpc._channel._RPCState((), None, None, None, None)
    conditions: list[Any] = [state.condition, cygrpc.threading.Condition()]
    return Item(text=" ".join(type(each._lock).__name__ for each in conditions))


def call_in_child(address: str) -> Item:
    pid = os.fork()
    if pid == 0:
        call_with_future(address)
        call(address)
        os._exit(7)
    return Item(number=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


WAYS: dict[str, Callable[[str], Item]] = {
    "call": call,
    "kept": call_on_kept,
    "future": call_with_future,
    "stream": stream,
    "asyncio": call_asyncio,
    "child": call_in_child,
    "locks": locks,
}


class Stateful(StatefulBase):
    state: Tally

    @actorrpc.concurrent
    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        """``text`` is a way to call, ``body`` the address; with a ``number``, in a thread of ``offload``."""
        way, address = WAYS[request.text], request.body.decode()
        return self.offload(way, address) if request.number else way(address)

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        """Import the module ``text`` in a thread of ``offload``; without one, do nothing."""
        if request.text:
            self.offload(importlib.import_module, request.text)
        return request


class Stateless(StatelessBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return request

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> list[Item]:
        return [Item(number=number) for number in range(request.number)]


app = actorrpc.App([Stateful, Stateless])
