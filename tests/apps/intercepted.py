"""The app of shapes.py behind interceptors that nobody may notice, and that notice everything."""

from __future__ import annotations

import logging
from typing import Any

import gevent
from google.protobuf.message import Message

import actorrpc
from tests.apps.shapes import Stateful, Stateless

log = logging.getLogger("tests.intercepted")


def copy_of(message: Message) -> Message:
    """Made of its bytes."""
    return type(message).FromString(message.SerializeToString())


class Watch(actorrpc.Interceptor):
    """Checks that what it notes on a call is there at each later hook, wherever that runs."""

    def on_call(self, call: actorrpc.Call[Any]) -> None:
        gevent.sleep(0)
        assert not call.context
        call.context["id"] = call.id
        call.context["requests"] = b""

    def on_request(self, call: actorrpc.Call[Any], message: Any) -> Message:
        assert call.context["id"] == call.id
        requests = call.context["requests"]
        assert isinstance(requests, bytes)
        call.context["requests"] = requests + b"."
        return copy_of(message)

    def on_reply(self, call: actorrpc.Call[Any], message: Any) -> Message:
        assert call.context["id"] == call.id
        return copy_of(message)

    def on_error(self, call: actorrpc.Call[Any], error: BaseException) -> None:
        assert call.context["id"] == call.id

    def on_end(self, call: actorrpc.Call[Any], status: actorrpc.StatusCode, message: str) -> None:
        log.warning("ended %s: %s", call.id, status.name)


app = actorrpc.App([Stateless, Stateful], interceptors=[Watch(), actorrpc.Interceptor()])
