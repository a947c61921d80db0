"""``App``: the services that a server serves, checked once, as a table from paths to handlers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import Message

from actorrpc.actor import Actor, Service
from actorrpc.errors import ConfigError
from actorrpc.interceptor import Chain, Interceptor
from actorrpc.loading import load_attribute
from actorrpc.overrides import check_service
from actorrpc.service import Method
from actorrpc.weight import scale_of

if TYPE_CHECKING:
    from actorrpc.call import Call

__all__ = ["App", "Route", "load"]


class Route:
    """How the calls of one method are served."""

    __slots__ = (
        "chain",
        "concurrent",
        "end_handler",
        "handler",
        "light",
        "method",
        "parse",
        "path",
        "scale",
        "service",
        "stateful",
    )

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
        #: Calls of it may run beside the other turns of their service.
        self.concurrent = not self.stateful or getattr(self.handler, "__actorrpc_concurrent__", False)

    def __repr__(self) -> str:
        return f"<Route {self.path} to {self.service.__name__}.{self.method.handler}>"


class App:
    """The services of a server: ``App([Chat, Room])``. Give classes, not instances.

    ``interceptors`` are instances, which see every call: see ``actorrpc.Interceptor``. ``identity(call)``
    returns whose call it is, a str, "" for nobody's: each identity on a connection has actors of its own
    (``call.identity``). It runs when all ``on_call`` have, and as they do; what it raises refuses the call. A
    call whose identity an ``on_call`` has set already is not asked for.
    Raises ConfigError, with one line that says what is wrong, for what cannot be served.
    """

    def __init__(
        self,
        services: Iterable[type[Service]],
        *,
        interceptors: Iterable[Interceptor] = (),
        identity: Callable[[Call[Any]], str] | None = None,
    ) -> None:
        chain = Chain(interceptors, identity)
        #: What its interceptors do; None if it has none, and calls have no identity.
        self.chain = chain if chain.interceptors or identity is not None else None
        #: Service classes by full name.
        self.services: dict[str, type[Service]] = {}
        #: Routes by ``:path``.
        self.routes: dict[str, Route] = {}
        #: Services with calls that may run beside others.
        self.beside: set[type[Service]] = set()
        for service in services:
            self._add(service)
        if not self.services:
            raise ConfigError("the app has no services: give actorrpc.App a list of service classes")

    def _add(self, service: type[Service]) -> None:
        if not (inspect.isclass(service) and issubclass(service, Service)):
            raise ConfigError(
                f"{service!r} is not a service: give App classes derived from generated ...Base classes"
            )
        spec = getattr(service, "__rpc__", None)
        if spec is None:
            raise ConfigError(
                f"{service.__name__} does not derive from a generated ...Base class, so it serves no methods"
            )
        if spec.name in self.services:
            raise ConfigError(
                f"two classes serve {spec.name}: {self.services[spec.name].__name__}, {service.__name__}"
            )
        if (spec.state is not None) != issubclass(service, Actor):
            raise ConfigError(
                f"{service.__name__}: generate {spec.name} again, since its base class does not fit its state"
            )
        check_service(service)
        self.services[spec.name] = service
        for method in spec.methods:
            route = Route(service, method, self.chain)
            self.routes[route.path] = route
            if route.concurrent:
                self.beside.add(service)

    def __repr__(self) -> str:
        return f"<App {', '.join(self.services)}: {len(self.routes)} methods>"


def load(path: str) -> App:
    """The app at ``package.module:attribute``, imported with the working directory on ``sys.path``.

    Raises ConfigError, with one line that says what failed and where, for whatever goes wrong.
    """
    found = load_attribute("app", path)
    if not isinstance(found, App):
        raise ConfigError(f"app {path!r} is a {type(found).__name__}, not an actorrpc.App")
    return found
