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
from actorrpc.hub.invoking.connected import ConnectedChannel
from actorrpc.hub.invoking.seals import Seals
from actorrpc.hub.invoking.tells import Tells
from actorrpc.hub.invoking.threads import ThreadCalls
from actorrpc.hub.runtime.runners import Runner, Runners, get_ident
from actorrpc.keys import check_key
from actorrpc.loop.wakeup import make_lock
from actorrpc.ref_pb2 import ActorRef

__all__ = ["Invoking"]


class Invoking:
    """Where the calls of one hub's actors are made. ``server`` is what the server is known by, and ``secret``
    what references are sealed with."""

    def __init__(
        self,
        exchange: Exchange,
        runners: Runners,
        config: Config,
        server: bytes,
        secret: bytes,
        services: Callable[[], Mapping[str, type[Service]]],
    ) -> None:
        self.exchange = exchange
        self.runners = runners
        self.config = config
        self.server = server
        self.seals = Seals(secret)
        self._services = services
        self.tells = Tells(exchange)
        self.threads = ThreadCalls(exchange, runners, self.tells)
        with _changing:
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
            if ref.key:
                raise RpcError(StatusCode.INVALID_ARGUMENT, "the reference has a key and a connection")
            return ConnectedChannel(self, ref)
        check_key(ref.key, "the key in the reference")
        return ActorChannel(self, ref.key, server=ref.server)

    def close(self) -> None:
        """The hub serves no more."""
        with _changing:
            _invoking.discard(self)
        self.threads.close()

    def forked(self) -> None:
        """This process is a child of the hub's."""
        self.threads.forked()

    def __repr__(self) -> str:
        return f"<Invoking {self.exchange!r}, {self.tells!r}>"


#: One for each hub of this process, held by ``_changing``.
_invoking: WeakSet[Invoking] = WeakSet()
_changing = make_lock()


def _target(ref: ActorRef, service: str) -> Target | None:
    """By way of the hub whose turn runs; else of one that runs in this thread, of the reference's server if
    there is one. In a thread without a hub by way of any hub of the server, if it is known which that is."""
    with _changing:
        all = [*_invoking]
    here = getcurrent()
    if type(here) is Runner:
        found = [each for each in all if each.runners is here.pool]
    else:
        thread = get_ident()
        found = [each for each in all if each.runners.thread == thread] or _of_one_server(ref, all)
    if not found:
        return None
    return max(found, key=lambda each: each.server == ref.server).target(ref, service)


def _of_one_server(ref: ActorRef, all: list[Invoking]) -> list[Invoking]:
    """The hubs of the reference's server in this process; where it has none, those of the only server that
    there is. Raises RuntimeError if there are several."""
    serving = [each for each in all if each.runners.thread is not None]
    found = [each for each in serving if each.server == ref.server] or serving
    if len({each.server for each in found}) > 1:
        raise RuntimeError(
            "several servers run in this process, and the reference is to an actor of none of them: call it "
            "in a greenlet of one of them, or a stub on app.actor(key)"
        )
    return found


hubs.append(_target)
