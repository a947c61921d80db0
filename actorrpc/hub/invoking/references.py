"""What references lead to, in each hub of this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from weakref import WeakSet

from greenlet import getcurrent

from actorrpc.actor import Service
from actorrpc.client.references import Target, hubs
from actorrpc.config import Config
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.invoking.channel import ActorChannel
from actorrpc.hub.invoking.tells import Tells
from actorrpc.hub.runtime.runners import Runner, Runners, get_ident
from actorrpc.keys import check_key
from actorrpc.ref_pb2 import ActorRef

__all__ = ["Invoking"]


class Invoking:
    """Where the calls of one hub's actors are made. ``server`` is what the server is known by."""

    def __init__(
        self,
        exchange: Exchange,
        runners: Runners,
        config: Config,
        server: bytes,
        services: Callable[[], Mapping[str, type[Service]]],
    ) -> None:
        self.exchange = exchange
        self.runners = runners
        self.config = config
        self.server = server
        self._services = services
        self.tells = Tells(exchange)
        _invoking.add(self)

    @property
    def services(self) -> Mapping[str, type[Service]]:
        return self._services()

    def actor(self, maker: Service | None, key: str) -> ActorChannel:
        """The actor with a key, of whatever service a stub is of. ``maker`` is the actor that asks, if one
        does. Raises RpcError for what cannot be one."""
        check_key(key)
        return ActorChannel(self, key, maker)

    def target(self, ref: ActorRef, service: str) -> ActorChannel:
        """What a reference leads to. Raises RpcError (INVALID_ARGUMENT) for one that cannot be."""
        if ref.service != service:
            said = f"to an actor of {ref.service}, not of {service}" if ref.service else "empty"
            raise RpcError(StatusCode.INVALID_ARGUMENT, f"the reference is {said}")
        if ref.connection:
            raise RpcError(
                StatusCode.UNIMPLEMENTED, "the reference is to the actor of a connection: it cannot be called"
            )
        check_key(ref.key, "the key in the reference")
        return ActorChannel(self, ref.key, server=ref.server)

    def close(self) -> None:
        """The hub serves no more."""
        _invoking.discard(self)

    def __repr__(self) -> str:
        return f"<Invoking {self.exchange!r}, {self.tells!r}>"


#: One for each hub of this process.
_invoking: WeakSet[Invoking] = WeakSet()


def _target(ref: ActorRef, service: str) -> Target | None:
    """By way of the hub whose turn runs; else of one that runs in this thread, of the reference's server if
    there is one."""
    here = getcurrent()
    if type(here) is Runner:
        found = [each for each in _invoking if each.runners is here.pool]
    else:
        found = [each for each in _invoking if each.runners.thread == get_ident()]
    if not found:
        return None
    return max(found, key=lambda each: each.server == ref.server).target(ref, service)


hubs.append(_target)
