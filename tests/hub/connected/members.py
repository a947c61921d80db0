"""Actors of connections whose handlers are written in the tests, and rooms that call them by reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc

import actorrpc
from actorrpc import ActorRef
from tests.apps.rooms_pb2 import Line
from tests.apps.shapes_actorrpc import StatefulBase, StatefulStub
from tests.apps.shapes_pb2 import Item, Tally
from tests.hub.invoking.acting import Room, Stage, acts
from tests.support.hubs import Hubs, serving

__all__ = ["Group", "Member", "StatefulStub", "does", "group", "note"]

Act = Callable[["Member", Item, Any], Any]

#: ``does["Unary"]`` is what a member does when it is called.
does: dict[str, Act] = {}


class Member(StatefulBase):
    """Where nothing is said, it notes what it is told, and says who it is."""

    state: Tally

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Any:
        if request.text == "who":
            return Item(body=self.ref.SerializeToString())
        return does.get("Unary", note)(self, request, call)

    def Expand(self, request: Item, call: actorrpc.Call[Item]) -> Any:
        return does["Expand"](self, request, call)

    def Collect(self, message: Item, call: actorrpc.Call[Item]) -> None: ...

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item()

    def Talk(self, message: Item, call: actorrpc.Call[Item]) -> Any:
        return does["Talk"](self, message, call)

    @actorrpc.concurrent
    def Beside(self, request: Item, call: actorrpc.Call[Item]) -> Any:
        return does.get("Beside", note)(self, request, call)

    def Listen(self, request: Item, call: actorrpc.Call[Item]) -> Any:
        """Keeps the call open."""
        return does["Listen"](self, request, call) if "Listen" in does else None

    def Publish(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        for each in self.calls:
            if each.method.endswith("Listen"):
                each.send(request)
        return request

    def Notes(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return Item(text=" ".join(self.state.notes))

    def on_call_end(self, call: Any, status: Any, message: str) -> None:
        if "on_call_end" in does:
            does["on_call_end"](self, Item(text=message, number=status), call)


def note(member: Member, request: Item, call: Any) -> Item:
    member.state.notes.append(request.text)
    return Item(text=request.text, number=len(member.state.notes))


class Group(Stage):
    """Hubs, clients with a member each, and rooms that call them."""

    def __init__(self, hubs: Hubs, cleanup: ExitStack) -> None:
        super().__init__(hubs)
        self._cleanup = cleanup
        self.channels: dict[str, grpc.Channel] = {}

    def join(self, hub: int = 0, user: str = "") -> tuple[StatefulStub, ActorRef]:
        """A client on that hub: what it calls its member with, and a reference to that."""
        channel = grpc.insecure_channel(self.hubs.address, [("grpc.use_local_subchannel_pool", 1)])
        self._cleanup.enter_context(channel)
        stub = StatefulStub(channel)
        ref = self.who(stub, user)
        self.channels[ref.connection] = channel
        if hub:
            self.carry(ref, hub)
        return stub, ref

    def who(self, stub: StatefulStub, user: str = "") -> ActorRef:
        metadata = [("user", user)] if user else []
        return ActorRef.FromString(stub.Unary(Item(text="who"), timeout=20, metadata=metadata).body)

    def carry(self, ref: ActorRef, hub: int) -> None:
        """Move a member's connection, and wait until it is there."""
        result = self.hubs.move(hub, ref.connection)
        assert (result.outcome, result.why) == (result.MOVED, "")
        self.hubs.wait_for(lambda: ref.connection in self.hubs.nodes[hub].connections)

    def begin_carrying(self, ref: ActorRef, hub: int) -> list[Any]:
        results: list[Any] = []

        def begin() -> None:
            node = next(node for node in self.hubs.nodes if ref.connection in node.connections)
            node.mover.move(ref.connection, hub, results.append)

        self.hubs.ask(begin)
        return results

    def incoming(self, ref: ActorRef) -> int:
        """How many calls by reference are open there."""
        found = [node.connections.get(ref.connection) for node in self.hubs.nodes]
        return sum(
            len(each.incoming.open) for each in found if each is not None and each.incoming is not None
        )

    def by(self, hub: int, do: Callable[[Room], Any]) -> Any:
        """The result of a function that is called in a turn of a room on that hub."""
        asked, results = self.begin_by(hub, do)
        asked.result()
        return results[0]

    def begin_by(self, hub: int, do: Callable[[Room], Any]) -> tuple[Any, list[Any]]:
        """Begin with it: the call of the room, and where the result will be."""
        key, results = f"asker {hub}", []

        def act(room: Room, request: Line, call: Any) -> Line:
            results.append(do(room))
            return request

        self.place(**{key: hub})
        acts[f"{key}.Post"] = act
        return self.client.Post.future(Line(room=key), timeout=20), results

    def status(self, hub: int, ref: ActorRef, **options: Any) -> tuple[Any, str]:
        """How a call of a member from that hub ends."""

        def call(room: Room) -> tuple[Any, str]:
            try:
                StatefulStub(ref).Unary(Item(text="x"), **options)
            except actorrpc.RpcError as error:
                return error.code, error.message
            return actorrpc.StatusCode.OK, ""

        result: tuple[Any, str] = self.by(hub, call)
        return result

    def at_rest(self) -> bool:
        """Whether nothing is left of calls."""
        return not any(
            node.exchange.outgoing or node.exchange.answering or node.search._rounds
            for node in self.hubs.nodes
        )


@contextmanager
def group(count: int = 1, app: actorrpc.App | None = None, **config: Any) -> Iterator[Group]:
    acts.clear()
    does.clear()
    with serving(app or actorrpc.App([Room, Member]), count, **config) as hubs, ExitStack() as cleanup:
        yield Group(hubs, cleanup)
    acts.clear()
    does.clear()
