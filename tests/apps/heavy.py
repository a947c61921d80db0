"""An app whose actors become as large as their clients want: a call adds so many characters to the state."""

from __future__ import annotations

import actorrpc
from tests.apps.shapes_actorrpc import StatefulBase
from tests.apps.shapes_pb2 import Item, Tally


class Heavy(StatefulBase):
    state: Tally

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        self.state.count += 1
        if request.number:
            self.state.notes.append("x" * request.number)
        return Item(number=self.state.count)


app = actorrpc.App([Heavy])
