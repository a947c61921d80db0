"""Notes in a database: ``actorrpc serve examples.notes.server:app``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import actorrpc
from actorrpc import RpcError, StatusCode
from examples.notes.notes_actorrpc import NotesBase
from examples.notes.notes_pb2 import AddRequest, FindRequest, Note
from examples.notes.store import Store

__all__ = ["Notes", "app"]

#: The topic of all notes.
TOPIC = "notes"


def open_store() -> Store:
    return Store(os.environ.get("NOTES_FILE", "notes.sqlite"))


class Notes(NotesBase):
    #: One for each hub, whose actors share it.
    store = actorrpc.per_hub(open_store, close=Store.close)

    def Add(self, request: AddRequest, call: actorrpc.Call[Note]) -> Note:
        if not request.text.strip():
            raise RpcError(StatusCode.INVALID_ARGUMENT, "there is nothing in the note")
        note = self.offload(self.store.add, request.text)  # gevent cannot wait for a disk
        self.publish(TOPIC, note)
        return note

    @actorrpc.concurrent
    def Find(self, request: FindRequest, call: actorrpc.Call[Note]) -> Iterator[Note]:
        """Goes on after the note at the cursor, in the hub to which the connection moves. Beside the turns of
        other calls, which do not wait for the disk then."""
        call.cursor = call.cursor or b"0"
        while notes := self.offload(self.store.find, request.word, int(call.cursor)):
            for note in notes:
                call.cursor = b"%d" % note.id
                yield note

    def Watch(self, request: FindRequest, call: actorrpc.Call[Note]) -> None:
        """Keeps the call: notes are sent on it in later turns, and meanwhile nothing waits in a handler."""
        self.state.words[call.id] = request.word
        self.subscribe(TOPIC)
        call.send_initial_metadata({})

    def on_topic(self, topic: str, note: Note) -> None:
        for call in self.calls:
            if call.id in self.state.words and self.state.words[call.id] in note.text:
                call.send(note)

    def on_call_end(self, call: actorrpc.Call[Any], status: StatusCode, message: str) -> None:
        """However a Watch ends, most likely because its client has had enough, its word is forgotten."""
        if call.id in self.state.words:
            del self.state.words[call.id]
            if not self.state.words:
                self.unsubscribe(TOPIC)


app = actorrpc.App([Notes])
