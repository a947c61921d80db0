"""Greets, and counts the greetings of each connection: ``actorrpc serve server:app --hubs 2``."""

from __future__ import annotations

from typing import Any

from hello_actorrpc import HelloBase
from hello_pb2 import HelloReply, HelloRequest

import actorrpc


class Hello(HelloBase):
    def Greet(self, request: HelloRequest, call: actorrpc.Call[Any]) -> HelloReply:
        self.state.greetings += 1
        return HelloReply(text=f"Hello {request.name}, greeting {self.state.greetings} on this connection")


app = actorrpc.App([Hello])
