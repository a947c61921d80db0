"""Actors of connections that call each other by reference: two apps of them, one without keyed actors."""

from __future__ import annotations

from collections.abc import Iterator

import gevent

import actorrpc
from actorrpc import ActorRef
from tests.apps.rooms import Room
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item, Tally


class Member(StatefulBase):
    """``text`` says what to do: "who", "call" whom the reference in the body is to, or else to note it."""

    state: Tally

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        if request.text == "who":
            return Item(body=self.ref.SerializeToString())
        if request.text == "call":
            return self._ask(request)
        if request.sleep:
            gevent.sleep(request.sleep)
        self.state.notes.append(request.text)
        self.state.count += 1
        return Item(text=request.text, number=self.state.count)

    def _ask(self, request: Item) -> Item:
        """``number`` times, if it is given, as long as that goes well."""
        stub = StatefulStub(ActorRef.FromString(request.body))
        reply = Item()
        for number in range(request.number or 1):
            try:
                reply = stub.Unary(Item(text=f"{number}", sleep=request.sleep))
            except actorrpc.CallError as error:
                return Item(status=error.code, text=error.message)
        return reply

    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return request

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Iterator[Item]:
        """So many numbers, of the member whom the reference in the body is to, or its own."""
        if request.body:
            yield from StatefulStub(ActorRef.FromString(request.body)).Expand(Item(number=request.number))
            return
        for number in range(int(call.cursor or b"0"), request.number):
            call.cursor = b"%d" % (number + 1)
            yield Item(number=number)
            gevent.sleep(0.001)

    def Collect(self, message: Item, call: actorrpc.Call[Item]) -> None: ...

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item()

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> None: ...

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> None: ...

    def Publish(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return request

    def Notes(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return Item(text=" ".join(self.state.notes))


app = actorrpc.App([Member])
with_rooms = actorrpc.App([Member, Room])
