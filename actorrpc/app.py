"""``App``: the services that a server serves, checked once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from google.protobuf.message import Message

from actorrpc.actor import Actor, Service
from actorrpc.call import Call
from actorrpc.client.references import Target
from actorrpc.errors import ConfigError
from actorrpc.interceptor import Interceptor, check_interceptors
from actorrpc.loading import load_attribute
from actorrpc.service_checks import check_service

__all__ = ["App", "Host", "load"]


class Host(Protocol):
    """A server that runs an app in this process: what ``App`` does beside calls."""

    def publish(self, topic: str, message: Message) -> None:
        """See ``App.publish``. Any thread may call it."""

    def actor(self, key: str) -> Target:
        """See ``App.actor``."""


class App:
    """The services of a server: ``App([Chat, Room])``. Give classes, not instances.

    ``interceptors`` are instances, which see every call: see ``actorrpc.Interceptor``. ``identity(call)``
    returns whose call it is, a str, "" for nobody's: each identity on a connection has actors of its own
    (``call.identity``). It runs when all ``on_call`` have, and as they do; what it raises refuses the call. A
    call whose identity an ``on_call`` has set already is not asked for.

    ``on_start()`` is called in each hub process, and in each program with a ``Server``, once the app is
    loaded and before the first connection is accepted. It may wait, and may leave greenlets
    (``gevent.spawn``) and threads behind that go on beside calls. As long as it has not returned, the hub
    does not serve: if that takes longer than ``--start-timeout``, the hub is killed, and where it waits is in
    the log. What it raises keeps the hub from serving, as an app does that cannot be imported: `actorrpc
    serve` ends with that line, a reload is abandoned, ``Server`` raises ConfigError, as it does where another
    ``Server`` of the process serves the app already.

    ``on_stop()`` is called when the hub stops and has no connection any more: what is published then still
    goes out, to whoever is on other hubs. It ends what ``on_start`` has begun. It may take what is left of
    the drain timeout, and a second at least; then it is left alone, and the process ends. What it raises is
    logged. It is not called where ``on_start`` has raised, nor where the process is killed.

    Raises ConfigError, with one line that says what is wrong, for what cannot be served.
    """

    def __init__(
        self,
        services: Iterable[type[Service]],
        *,
        interceptors: Iterable[Interceptor] = (),
        identity: Callable[[Call[Any]], str] | None = None,
        on_start: Callable[[], object] | None = None,
        on_stop: Callable[[], object] | None = None,
    ) -> None:
        if identity is not None and not callable(identity):
            raise ConfigError(f"identity={identity!r}: give App a function of the call, which returns a str")
        #: In the order given.
        self.interceptors = check_interceptors(interceptors)
        self.identity = identity
        self.on_start = _checked("on_start", on_start)
        self.on_stop = _checked("on_stop", on_stop)
        #: The servers of this process that run it.
        self._hosts: tuple[Host, ...] = ()
        #: Service classes by full name.
        self.services: dict[str, type[Service]] = {}
        for service in services:
            self._add(service)
        if not self.services:
            raise ConfigError("the app has no services: give actorrpc.App a list of service classes")

    def publish(self, topic: str, message: Message) -> None:
        """Send ``message`` to every subscriber of ``topic``, whichever hub it is on: from a greenlet or a
        thread of the app's own, in any hub process, from ``on_start`` on until ``on_stop`` has ended.

        What one greenlet, or one thread, publishes to a topic comes in its order. A greenlet is not held up;
        a thread waits until the hub's loop has taken the message. Before the hub has joined the others, in
        ``on_start`` for one, messages wait until it has. In a turn, publish with the service's own
        ``self.publish``: it keeps the order where the connection moves.

        Raises what ``Service.publish`` raises; and RuntimeError where this process does not serve the app: in
        a script that imports it, at its import, in a child that was forked, after the hub has stopped; and
        where several ``Server`` of one process serve it, as they may if it has no hooks.
        """
        if not isinstance(message, Message):
            raise TypeError(f"what is published is a Protobuf message, not {message!r}")
        self._host("publish").publish(topic, message)

    def actor(self, key: str) -> Target:
        """The keyed actor with this key, for a stub: ``RoomStub(app.actor("lobby")).Post(line, timeout=1)``,
        in a greenlet or a thread of the app's own, as ``Service.actor`` is for turns. Its ``call.caller`` is
        None.

        Raises RpcError (INVALID_ARGUMENT) for what cannot be a key, and RuntimeError as ``publish`` does. So
        do the stub's methods once the hub has stopped; calls that are under way in threads then end with
        UNAVAILABLE.
        """
        return self._host("actor").actor(key)

    def _host(self, what: str) -> Host:
        hosts = self._hosts
        if len(hosts) == 1:
            return hosts[0]
        if hosts:
            raise RuntimeError(
                f"{len(hosts)} servers of this process serve the app, and app.{what} is for one: give each "
                "server an App of its own"
            )
        raise RuntimeError(
            f"this process does not serve the app, so that app.{what} has nowhere to go: call it from "
            "on_start on until on_stop has ended, and not in a child that was forked"
        )

    def bind(self, host: Host) -> None:
        """For servers: this one runs the app from now on. Raises ConfigError if another does, and the app has
        hooks, which are for one."""
        if self._hosts and (self.on_start or self.on_stop):
            raise ConfigError(
                "another server of this process serves the app, whose on_start and on_stop are for one: give "
                "each server an App of its own"
            )
        self._hosts = (*self._hosts, host)

    def unbind(self, host: Host) -> None:
        """For servers: this one does so no more, if it did."""
        self._hosts = tuple(each for each in self._hosts if each is not host)

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


def _checked(what: str, hook: Callable[[], object] | None) -> Callable[[], object] | None:
    if hook is not None and not callable(hook):
        raise ConfigError(f"{what}={hook!r}: give App a function without arguments")
    if inspect.iscoroutinefunction(hook) or inspect.isgeneratorfunction(hook):
        raise ConfigError(
            f"{what}={hook!r} would only make a coroutine or a generator: give a plain function"
        )
    return hook


def load(path: str) -> App:
    """The app at ``package.module:attribute``, imported with the working directory on ``sys.path``.

    Raises ConfigError, with one line that says what failed and where, for whatever goes wrong.
    """
    found = load_attribute("app", path)
    if not isinstance(found, App):
        raise ConfigError(f"app {path!r} is a {type(found).__name__}, not an actorrpc.App")
    return found
