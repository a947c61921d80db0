"""``App``: the services that a server serves, checked once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from actorrpc.actor import Actor, Service
from actorrpc.call import Call
from actorrpc.errors import ConfigError
from actorrpc.interceptor import Interceptor, check_interceptors
from actorrpc.loading import load_attribute
from actorrpc.service_checks import check_service

__all__ = ["App", "load"]


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
        if identity is not None and not callable(identity):
            raise ConfigError(f"identity={identity!r}: give App a function of the call, which returns a str")
        #: In the order given.
        self.interceptors = check_interceptors(interceptors)
        self.identity = identity
        #: Service classes by full name.
        self.services: dict[str, type[Service]] = {}
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

    def __repr__(self) -> str:
        methods = sum(len(service.__rpc__.methods) for service in self.services.values())
        return f"<App {', '.join(self.services)}: {methods} methods>"


def load(path: str) -> App:
    """The app at ``package.module:attribute``, imported with the working directory on ``sys.path``.

    Raises ConfigError, with one line that says what failed and where, for whatever goes wrong.
    """
    found = load_attribute("app", path)
    if not isinstance(found, App):
        raise ConfigError(f"app {path!r} is a {type(found).__name__}, not an actorrpc.App")
    return found
