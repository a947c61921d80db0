"""The app that most tests serve: see shapes.proto."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import gevent

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase, StatelessBase
from tests.apps.shapes_pb2 import Item, Tally

Replies = Iterable[Item] | None


def obey(item: Item, call: actorrpc.Call[Item]) -> Item:
    """Do what the item asks for; the reply is the item itself."""
    if "initial" in call.metadata:
        call.send_initial_metadata({"initial": call.metadata["initial"]})
    if "trailing-bin" in call.metadata:
        call.set_trailing_metadata({"trailing-bin": call.metadata.get_all("trailing-bin")})
    if item.sleep:
        gevent.sleep(item.sleep)
    if item.text == "bug":
        raise ZeroDivisionError("the secret of the handler")
    if item.status:
        raise actorrpc.RpcError(actorrpc.StatusCode(item.status), item.text, {"why": "asked for"})
    return item


class Stateless(StatelessBase):
    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return obey(request, call)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Iterator[Item]:
        obey(request, call)
        for number in range(request.number):
            yield Item(number=number, body=request.body)

    def Collect(self, message: Item, call: actorrpc.Call[Item]) -> None:
        obey(message, call)
        call.cursor = b"%d" % (int(call.cursor or b"0") + message.number)

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item(number=int(call.cursor or b"0"))

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> Replies:
        call.send(obey(message, call))
        return None


class Stateful(StatefulBase):
    state: Tally

    def on_connect(self) -> None:
        self.state.notes.append("connect")

    def on_freeze(self) -> None:
        if "freeze" not in self.state.notes:
            self.state.notes.append("freeze")

    def on_thaw(self) -> None:
        if "thaw" not in self.state.notes:
            self.state.notes.append("thaw")

    def on_topic(self, topic: str, message: Item) -> None:
        self.state.notes.append(f"{topic}: {message.number}")

    def _count(self, item: Item, call: actorrpc.Call[Item]) -> Item:
        before = self.state.count
        obey(item, call)
        self.state.count = before + 1  # wrong at once if turns overlap
        return item

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self._count(request, call)
        return Item(number=self.state.count)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Replies:
        self._count(request, call)
        for number in range(request.number):
            call.send(Item(number=number, body=request.body))
        call.finish()
        return None

    def Collect(self, message: Item, call: actorrpc.Call[Item]) -> None:
        self._count(message, call)

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item(number=self.state.count)

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> Replies:
        call.send(self._count(message, call))
        return None

    @actorrpc.concurrent
    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return obey(request, call)

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> Replies:
        self.subscribe(request.text, call)
        if request.status:
            self.subscribe(request.text)
        call.send_initial_metadata({"listening": "yes"})
        return None

    def Publish(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.publish(request.text, request)
        return request

    def Notes(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return Item(text="\n".join(self.state.notes), number=self.state.count)


app = actorrpc.App([Stateless, Stateful])
