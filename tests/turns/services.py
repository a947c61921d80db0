"""The services and the interceptor that a program drives: their handlers do what its scripts say.

Whatever they do they tell the world first: see ``world``.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import actorrpc
from actorrpc.service import Method, ServiceSpec
from tests.apps.shapes_pb2 import Item, Tally

from .program import SHAPES

__all__ = ["app_of", "current"]

#: The world that runs: one at a time.
current: list[Any] = []


def _unary(self: Any, message: Item, call: Any) -> Any:
    return current[0].handle(self, call, message)


def _end(self: Any, call: Any) -> Any:
    return current[0].handle(self, call, None)


def _init(self: Any) -> None:
    current[0].make(self)


def _hook(name: str) -> Any:
    def hook(self: Any) -> None:
        current[0].hook(self, name)

    return hook


def _on_topic(self: Any, topic: str, message: Item) -> None:
    current[0].topic(self, topic, message.number)


def _on_call_end(self: Any, call: Any, status: Any, message: str) -> None:
    current[0].call_end(self, call, int(status))


def _service(name: str, hooks: tuple[str, ...]) -> Any:
    """The class of the service A, B or S with these hooks."""
    state = None if name == "S" else Tally
    prefixes = [""] if name == "S" else ["", "X"]
    methods: list[Method] = []
    body: dict[str, Any] = {}
    for prefix in prefixes:
        for shape, (client_streams, server_streams) in SHAPES.items():
            method = prefix + shape
            methods.append(Method(method, Item, Item, client_streams, server_streams))

            def handler(self: Any, message: Item, call: Any) -> Any:
                return _unary(self, message, call)

            body[method] = actorrpc.concurrent(handler) if prefix else handler
            if client_streams:
                body[f"{method}_end"] = _end
    body["__rpc__"] = ServiceSpec(name, tuple(methods), state)
    body["__init__"] = _init
    if state is not None:
        body["on_topic"] = _on_topic
        for hook in hooks:
            if hook == "on_call_end":
                body[hook] = _on_call_end
            elif hook not in ("init", "on_topic"):
                body[hook] = _hook(hook)
    return type(name, (actorrpc.Service if state is None else actorrpc.Actor,), body)


class _Hooks:
    """The interceptor's hooks, of which a program has some."""

    def on_call(self, call: Any) -> None:
        current[0].on_call(call)

    def on_request(self, call: Any, message: Any) -> Any:
        current[0].on_request(call, message)
        return message

    def on_reply(self, call: Any, message: Any) -> Any:
        return message

    def on_end(self, call: Any, status: Any, message: str) -> None:
        current[0].on_end(call, int(status), message)


@cache
def app_of(hooks: tuple[str, ...], interceptors: tuple[str, ...]) -> actorrpc.App:
    """The app with these hooks."""
    chain = []
    if interceptors:
        body = {name: vars(_Hooks)[name] for name in interceptors}
        chain.append(type("Watch", (actorrpc.Interceptor,), body)())
    return actorrpc.App([_service(name, hooks) for name in "ABS"], interceptors=chain)
