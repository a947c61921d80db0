"""Keyed actors: see rooms.proto."""

from __future__ import annotations

from collections.abc import Iterator

import gevent

import actorrpc
from tests.apps.rooms_actorrpc import CounterBase, JournalBase, RoomBase
from tests.apps.rooms_pb2 import Line, RoomState


class Room(RoomBase):
    state: RoomState

    def on_activate(self) -> None:
        self.state.notes.append(f"activate {self.key}")

    def on_passivate(self) -> None:
        self.state.notes.append("passivate")

    def on_freeze(self) -> None:
        self.state.notes.append("freeze")

    def on_thaw(self) -> None:
        self.state.notes.append("thaw")

    def Post(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        self.state.lines += 1
        number = self.state.lines
        if "initial" in call.metadata:
            call.send_initial_metadata({"initial": call.metadata["initial"]})
        if "trailing" in call.metadata:
            call.set_trailing_metadata({"trailing": call.metadata["trailing"]})
        if request.sleep:
            gevent.sleep(request.sleep)
        if request.status:
            raise actorrpc.RpcError(actorrpc.StatusCode(request.status), request.text, {"why": "asked for"})
        line = Line(room=self.key, text=request.text, number=number)
        for other in self.calls:
            if "listens" in other.context:  # it has had its turn
                other.send(line)
        return line

    def Listen(self, request: Line, call: actorrpc.Call[Line]) -> None:
        call.context["listens"] = "yes"
        call.send_initial_metadata({"room": self.key})

    def Recite(self, request: Line, call: actorrpc.Call[Line]) -> Iterator[Line]:
        for number in range(int(call.cursor or b"0"), request.number):
            call.cursor = b"%d" % (number + 1)
            yield Line(room=self.key, number=number, text=request.text)

    def Notes(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        return Line(room=self.key, number=self.state.lines, text=" ".join(self.state.notes))

    @actorrpc.concurrent
    def Beside(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        if request.sleep:
            gevent.sleep(request.sleep)
        return Line(room=self.key, number=self.state.lines)


class Counter(CounterBase):
    state: RoomState

    def Count(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        self.state.lines += 1
        return Line(room=call.key, number=self.state.lines)


class Journal(JournalBase):
    state: RoomState

    def Note(self, request: Line, call: actorrpc.Call[Line]) -> Line:
        self.state.lines += 1
        return Line(room=self.key, number=self.state.lines, text=call.identity)


class Names(actorrpc.Interceptor):
    """Knows who calls, and refuses a room."""

    def on_call(self, call: actorrpc.Call[Line]) -> None:
        call.context["key"] = call.key
        if call.key == "forbidden":
            raise actorrpc.RpcError(actorrpc.StatusCode.PERMISSION_DENIED, "nobody may go there")


app = actorrpc.App([Room, Counter])
guarded = actorrpc.App(
    [Room, Counter, Journal],
    interceptors=[Names()],
    identity=lambda call: str(call.metadata.get("user", "")),
)
