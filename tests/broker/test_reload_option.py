"""`actorrpc serve --reload`: the code is edited, and clients stay connected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.server_process import ServerProcess
from tests.support.waiting import until

APP = """
import actorrpc
from tests.apps.shapes import Stateful
from tests.apps.shapes_pb2 import Item

class Edited(Stateful):
    def Unary(self, request, call):
        self.state.count += 1
        return Item(number=self.state.count, text="WORD")

app = actorrpc.App([Edited])
"""


def test_clients_stay_while_the_code_is_edited(serve: Callable[..., ServerProcess], tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    file.write_text(APP)
    server = serve("--reload", app="edited:app", cwd=tmp_path)
    with grpc.insecure_channel(server.address) as channel:
        stub: Any = StatefulStub(channel)
        calls = 0

        def says(word: str) -> bool:
            nonlocal calls
            calls += 1
            reply = stub.Unary(Item())
            assert reply.number == calls, "another actor has answered"
            return bool(reply.text == word)

        assert says("WORD")
        file.write_text(APP.replace("WORD", "changed"))
        until(lambda: says("changed"))
        file.write_text("this is no Python")
        until(lambda: "generation 3 is abandoned" in server.log)
        assert "SyntaxError" in server.log
        assert says("changed")
        file.write_text(APP.replace("WORD", "again"))
        until(lambda: says("again"))
    until(lambda: [row["generation"] for row in server.status()["hubs"]] == [4, 4])
