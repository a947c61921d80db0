"""The actors of the model: all that they do is written down in its history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import actorrpc
from actorrpc.service import Keyed, ServiceSpec
from tests.apps.rooms_actorrpc import RoomBase
from tests.apps.rooms_pb2 import Line, RoomState
from tests.exchange.history import Fault, History

__all__ = ["IDLE", "Dead", "Place", "room_of"]

#: For how many seconds of the model's time an actor rests before it is passivated.
IDLE = 3.0


class Dead(actorrpc.RpcError):
    """The process has ended in which this would run."""

    def __init__(self) -> None:
        super().__init__(actorrpc.StatusCode.ABORTED, "its process has been killed")


class Place(Protocol):
    """The hub where actors live, as they see it."""

    serial: int
    alive: bool
    history: History
    faults: list[Exception]

    def block(self, what: str) -> None:
        """Wait until the model goes on. Raises Dead if the hub dies meanwhile."""

    def fails(self, key: str) -> bool:
        """Whether an actor of the key is not to be made."""


def room_of(place: Place) -> type[RoomBase]:
    """The class of actors that live there."""
    history = place.history

    @contextmanager
    def turn(key: str) -> Iterator[None]:
        if not place.alive:
            raise Dead
        try:
            history.begins(key, place.serial)
            try:
                yield
            finally:
                history.ends(key, place.serial)
        except Fault as fault:
            place.faults.append(fault)

    def note(check: Callable[..., None], *args: Any) -> None:
        if not place.alive:
            raise Dead
        try:
            check(*args)
        except Fault as fault:
            place.faults.append(fault)

    class Room(RoomBase):
        __rpc__ = _with_idle(RoomBase.__rpc__)
        state: RoomState

        def on_activate(self) -> None:
            with turn(self.key):
                place.block(f"on_activate of {self.key}")
                if place.fails(self.key):
                    raise actorrpc.RpcError(actorrpc.StatusCode.FAILED_PRECONDITION, "not now")
                note(history.activated, self.key)

        def on_passivate(self) -> None:
            with turn(self.key):
                place.block(f"on_passivate of {self.key}")
                note(history.passivated, self.key, [*self.state.notes])

        def _run(self, call: str) -> None:
            note(history.check, self.key, [*self.state.notes])
            note(history.runs, self.key, call)
            self.state.notes.append(call)

        def Post(self, request: Line, call: actorrpc.Call[Line]) -> Line:
            with turn(self.key):
                self._run(request.text)
                self.state.lines += 1
                line = Line(room=self.key, text=request.text, number=self.state.lines)
                for other in self.calls:
                    if "listens" in other.context:
                        other.send(line)
                if request.sleep:
                    place.block(request.text)
                return line
            raise AssertionError("a fault has been noted")

        def Listen(self, request: Line, call: actorrpc.Call[Line]) -> None:
            with turn(self.key):
                self._run(request.text)
                call.context["listens"] = "yes"
                call.send_initial_metadata({"call": request.text})

        def Recite(self, request: Line, call: actorrpc.Call[Line]) -> Iterator[Line]:
            if not call.cursor:
                with turn(self.key):
                    self._run(request.text)
                call.cursor = b"0"
            return self._lines(request, call)

        def _lines(self, request: Line, call: actorrpc.Call[Line]) -> Iterator[Line]:
            for number in range(int(call.cursor), request.number):
                if not place.alive:
                    raise Dead
                call.cursor = b"%d" % (number + 1)
                yield Line(room=self.key, number=number, text="x" * 30_000)

    return Room


def _with_idle(spec: ServiceSpec) -> ServiceSpec:
    return ServiceSpec(spec.name, spec.methods, spec.state, Keyed(field="room", idle=IDLE))
