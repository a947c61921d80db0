"""``Route``: how the calls of one method are served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from actorrpc.actor import Service
from actorrpc.app import App
from actorrpc.hub.calls.chain import Chain
from actorrpc.hub.metering.weight import scale_of
from actorrpc.service import Method

__all__ = ["Route", "routes_of", "routes_of_keyed"]


def routes_of(app: App, chain: Chain | None = None) -> dict[str, Route]:
    """The routes of an app's methods by ``:path``."""
    routes = [
        Route(service, method, chain)
        for service in app.services.values()
        for method in service.__rpc__.methods
    ]
    return {route.path: route for route in routes}


def routes_of_keyed(services: Mapping[str, type[Service]]) -> dict[str, Route]:
    """The routes of keyed services where their actors are: the app's interceptors see calls where these are
    made."""
    routes = [
        Route(service, method)
        for service in services.values()
        if service.__rpc__.keyed is not None
        for method in service.__rpc__.methods
    ]
    return {route.path: route for route in routes}


class Route:
    """How the calls of one method are served."""

    def __init__(self, service: type[Service], method: Method, chain: Chain | None = None) -> None:
        spec = service.__rpc__
        self.service = service
        self.method = method
        #: The app's interceptors; None if it has none.
        self.chain = chain
        self.path = spec.path(method)
        #: ``handler(instance, message, call)``
        self.handler: Callable[..., Any] = getattr(service, method.handler)
        #: ``end_handler(instance, call)``, where the client streams
        self.end_handler: Callable[..., Any] | None = (
            getattr(service, method.end_handler) if method.client_streaming else None
        )
        self.parse: Callable[[bytes], Message] = method.request.FromString
        #: What its requests take once they are parsed; and how many bytes of them need not be asked about.
        self.scale = scale_of(method.request.DESCRIPTOR)
        self.light = self.scale.light
        #: Its calls are for an actor.
        self.stateful = spec.state is not None
        #: That actor is found by a key; None: it is the connection's.
        self.keyed = spec.keyed
        #: Calls of it may run beside the other turns of their service.
        self.concurrent = not self.stateful or getattr(self.handler, "__actorrpc_concurrent__", False)

    def __repr__(self) -> str:
        return f"<Route {self.path} to {self.service.__name__}.{self.method.handler}>"
