"""Two apps that strangers come to: one that anybody may call, and one that asks whose each call is."""

from __future__ import annotations

from typing import Any

import actorrpc
from actorrpc import RpcError, StatusCode
from tests.apps.shapes import Stateless
from tests.apps.shapes_actorrpc import StatefulBase
from tests.apps.shapes_pb2 import Item, Tally


class Closed(StatefulBase):
    """An actor that nobody gets."""

    state: Tally

    def on_connect(self) -> None:
        raise RpcError(StatusCode.RESOURCE_EXHAUSTED, "no more than this")

    def Unary(self, request: Item, call: actorrpc.Call[Item]) -> Item:
        return request

    Expand = Collect = Talk = Beside = Listen = Publish = Notes = Unary  # type: ignore[assignment]

    def Collect_end(self, call: actorrpc.Call[Item]) -> Item:
        return Item()


class Guard(actorrpc.Interceptor):
    def on_call(self, call: actorrpc.Call[Any]) -> None:
        if call.metadata.get("token") == "wrong":
            raise RpcError(StatusCode.UNAUTHENTICATED, "who are you?")

    def on_request(self, call: actorrpc.Call[Any], message: Any) -> Any:
        if message.text == "wrong":
            raise RpcError(StatusCode.INVALID_ARGUMENT, "what is that?")
        return message


def whose(call: actorrpc.Call[Any]) -> str:
    name = call.metadata.get("name", "")
    if name == "nobody":
        raise RpcError(StatusCode.PERMISSION_DENIED, "not you")
    return str(name)


open_app = actorrpc.App([Stateless, Closed])
guarded_app = actorrpc.App([Stateless, Closed], interceptors=[Guard()], identity=whose)
