"""Rooms whose handlers are written in the tests: what each room does is said by its key and the method."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

import actorrpc
from tests.apps.rooms_actorrpc import RoomBase, RoomStub
from tests.apps.rooms_pb2 import Line, RoomState
from tests.support.hubs import Hubs, serving

__all__ = ["Act", "Acts", "Room", "Stage", "acts", "asks", "keeps", "note", "staged"]

Act = Callable[["Room", Line, Any], Any]
Acts = dict[str, Act]

acts: Acts = {}


class Room(RoomBase):
    """``acts["a.Post"]`` is what Post of the room "a" does, and ``acts["a.on_freeze"]`` its hook. Where
    nothing is said, a line is noted in its state, and a hook does nothing."""

    state: RoomState

    def _act(self, name: str, request: Line, call: Any) -> Any:
        return acts.get(f"{self.key}.{name}", note)(self, request, call)

    def Post(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        return self._act("Post", request, call)  # type: ignore[no-any-return]

    def Listen(self, request: Line, call: actorrpc.Call[Line]) -> None:
        return self._act("Listen", request, call)  # type: ignore[no-any-return]

    def Recite(self, request: Line, call: actorrpc.Call[Line]) -> Iterator[Line]:
        return self._act("Recite", request, call)  # type: ignore[no-any-return]

    def Notes(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        return Line(room=self.key, text=" ".join(self.state.notes), number=len(self.state.notes))

    @actorrpc.concurrent
    def Beside(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        return self._act("Beside", request, call)  # type: ignore[no-any-return]

    def on_activate(self) -> None:
        if hook := acts.get(f"{self.key}.on_activate"):
            hook(self, Line(), None)

    def on_freeze(self) -> None:
        if hook := acts.get(f"{self.key}.on_freeze"):
            hook(self, Line(), None)


def note(room: Room, request: Line, call: Any) -> Line:
    room.state.notes.append(request.text)
    return Line(room=room.key, text=request.text, number=len(room.state.notes))


def asks(key: str, method: str = "Post") -> Act:
    """Has a room ask another one, and answer what that says."""
    return lambda room, request, call: getattr(RoomStub(room.actor(key)), method)(request)


def keeps(seen: list[Any], what: Act) -> Act:
    """Has a room keep something of each call, for the test."""

    def act(room: Room, request: Line, call: Any) -> Line:
        seen.append(what(room, request, call))
        return request

    return act


class Stage:
    """Hubs whose rooms do what a test says, and a client."""

    def __init__(self, hubs: Hubs) -> None:
        self.hubs = hubs
        self.acts = acts
        self.client = RoomStub(grpc.insecure_channel(hubs.address))

    def post(self, room: str, text: str = "", **options: Any) -> Line:
        return self.client.Post(Line(room=room, text=text), timeout=20, **options)

    def notes(self, room: str) -> str:
        return self.client.Notes(Line(room=room), timeout=20).text

    def where(self, room: str) -> int:
        """The hub in which a room lives."""
        id = f"rooms.Room/{room}"
        return (
            self.hubs.wait_for(
                lambda: next((node.hub + 1 for node in self.hubs.nodes if id in node.stages), 0)
            )
            - 1
        )

    def move(self, room: str, target: int) -> None:
        """Move a room that lives, and wait until it is there."""
        id = f"rooms.Room/{room}"
        results: list[Any] = []
        self.hubs.ask(lambda: self.begin_move(id, target, results))
        result = self.hubs.wait_for(lambda: results)[0]
        assert (result.outcome, result.why) == (result.MOVED, "")

    def begin_move(self, id: str, target: int, results: list[Any]) -> None:
        node = next(node for node in self.hubs.nodes if id in node.stages)
        node.mover.move(id, target, results.append)

    def place(self, **hubs: int) -> None:
        """Have rooms live in these hubs."""
        for room, hub in hubs.items():
            self.notes(room)
            if self.where(room) != hub:
                self.move(room, hub)


@contextmanager
def staged(count: int = 1, app: actorrpc.App | None = None, **config: Any) -> Iterator[Stage]:
    acts.clear()
    with serving(app or actorrpc.App([Room]), count, **config) as hubs:
        yield Stage(hubs)
    acts.clear()
