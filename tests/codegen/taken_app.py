"""An app whose methods all have names that are taken: ``test_taken`` serves it, ``call_taken`` calls it."""

from __future__ import annotations

from collections.abc import Iterator

from taken_actorrpc import TakenBase, UntakenBase
from taken_pb2 import Note

import actorrpc

Call = actorrpc.Call[Note]


class Taken(TakenBase):
    def on_connect(self) -> None:
        self.state.text = "connected"
        self.subscribe(f"notes of {self.connection_id}")

    def on_topic(self, topic: str, message: Note) -> None:
        self.state.text = message.text

    def publish_(self, request: Note, call: Call) -> Note:
        self.publish(f"notes of {self.connection_id}", request)
        return Note(text="published")

    def publish__(self, request: Note, call: Call) -> Note:
        return Note(text=f"publish_ {request.text}")

    def state_(self, request: Note, call: Call) -> Note:
        return self.state

    def calls_(self, request: Note, call: Call) -> Iterator[Note]:
        return (Note(text=open_call.method) for open_call in self.calls)

    def on_connect_(self, request: Note, call: Call) -> Note:
        return Note(text=f"on_connect {request.text}")

    def import_(self, request: Note, call: Call) -> Note:
        return Note(text=f"import {request.text}")

    def key_(self, request: Note, call: Call) -> Note:
        return Note(text=f"key {request.text}")

    def join_(self, message: Note, call: Call) -> None:
        call.send(Note(text=f"join {message.text}"))

    def join_end(self, call: Call) -> None:
        call.send(Note(text="the end"))
        call.finish()

    def Talk(self, message: Note, call: Call) -> None:
        self.state.text += message.text

    def Talk_end(self, call: Call) -> Note:
        return self.state

    def Talk_end_(self, request: Note, call: Call) -> Note:
        return Note(text=f"Talk_end {request.text}")

    def __init___(self, request: Note, call: Call) -> Note:
        return Note(text=f"__init__ {request.text}")


class Untaken(UntakenBase):
    def subscribe_(self, message: Note, call: Call) -> None:
        pass

    def subscribe_end(self, call: Call) -> Note:
        return Note(text="subscribed")


app = actorrpc.App([Taken, Untaken])
