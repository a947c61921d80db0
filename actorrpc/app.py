"""``App``: the services that a server serves, checked once."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from actorrpc.actor import Actor, Service
from actorrpc.call import Call
from actorrpc.errors import ConfigError
from actorrpc.interceptor import Interceptor, check_interceptors
from actorrpc.loading import explain
from actorrpc.overrides import check_service

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
                f"{service!r} is no service: give App classes derived from generated ...Base classes"
            )
        spec = getattr(service, "__rpc__", None)
        if spec is None:
            raise ConfigError(
                f"{service.__name__} derives from no generated ...Base class, so it serves no methods"
            )
        if spec.name in self.services:
            raise ConfigError(
                f"two classes serve {spec.name}: {self.services[spec.name].__name__}, {service.__name__}"
            )
        if (spec.state is not None) != issubclass(service, Actor):
            raise ConfigError(
                f"{service.__name__}: generate {spec.name} again, its base class does not fit its state"
            )
        check_service(service)
        self.services[spec.name] = service

    def __repr__(self) -> str:
        methods = sum(len(service.__rpc__.methods) for service in self.services.values())
        return f"<App {', '.join(self.services)}: {methods} methods>"


def _explain(error: Exception, name: str, attribute: str) -> str:
    """Why it does not import. Who gives a file is told the module."""
    stem = name.removesuffix(".py")
    module = os.path.relpath(stem).replace(os.sep, ".")
    if name == module or module.startswith(".") or not os.path.isfile(f"{stem}.py"):
        return explain(error)
    return f"it is a module that is wanted, not a file: try {module}:{attribute}"


def load(path: str) -> App:
    """The app at ``package.module:attribute``, imported with the working directory on ``sys.path``.

    Raises ConfigError, with one line that says what failed and where, for whatever goes wrong.
    """
    name, colon, attribute = path.partition(":")
    if not (name and colon and attribute):
        raise ConfigError(f"app {path!r}: give it as package.module:attribute")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found = importlib.import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ConfigError as error:
        raise ConfigError(f"app {path!r}: {error}") from error
    except Exception as error:  # whatever the user's module does
        raise ConfigError(f"app {path!r} does not import: {_explain(error, name, attribute)}") from error
    if not isinstance(found, App):
        raise ConfigError(f"app {path!r} is a {type(found).__name__}, not an actorrpc.App")
    return found
