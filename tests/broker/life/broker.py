"""One broker of the model, from its start to its end: what ``serve`` does, with the real supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent

from actorrpc.broker.adoption.inheritance import Inheritance, Wanted, bounds_of
from actorrpc.broker.host.record import Record
from actorrpc.broker.sharing.accept_queues import AcceptQueues
from actorrpc.broker.supervisor import Supervisor
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.net.listening import Bound
from actorrpc.pb.record_pb2 import Server
from tests.broker.life.processes import DRAIN_TIMEOUT, BrokerKilled
from tests.broker.life.surroundings import ADDRESSES, Claim

if TYPE_CHECKING:
    from tests.broker.life.world import World

__all__ = ["HUBS", "START_TIMEOUT", "Broker"]

#: At first.
HUBS = 2

START_TIMEOUT = 50.0


class Broker:
    supervisor: Supervisor

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        #: All hubs serve.
        self.ready = False
        #: Why it has ended, if that was said; what it must not raise.
        self.refusal = ""
        self.error: BaseException | None = None
        self._greenlets: list[gevent.Greenlet[..., Any]] = []

    def start(self) -> None:
        self._greenlets.append(gevent.spawn(self._run))

    def _run(self) -> None:
        try:
            self._serve()
        except ConfigError as error:
            self.refusal = str(error)
        except BrokerKilled:
            return
        except BaseException as error:
            self.error = error
        if self.alive:
            self.world.gone(self)

    def _serve(self) -> None:
        world = self.world
        directory: Any = world.directory
        claim: Any = Claim(world)
        wanted = Wanted("app", ADDRESSES, world.accept)
        inheritance = Inheritance.find(directory, wanted)
        if inheritance is not None:
            server = inheritance.server
            queues = AcceptQueues(bounds_of(server), server.hubs, server.accept, world.listen_again)
        else:
            world.begin_anew()
            queues = AcceptQueues([*map(self._bound, ADDRESSES)], HUBS, world.accept)
        record = Record(directory)

        def write(server: Server) -> None:
            server.binds[:] = wanted.binds
            record.write(server)
            if not world.disk_is_full:
                world.expected.written(server)

        config = Config(drain_timeout=DRAIN_TIMEOUT, start_timeout=START_TIMEOUT)
        self.supervisor = Supervisor("app", config, claim, queues, lambda *moved: None, write=write)
        self.supervisor.run(self._on_ready, inheritance)
        assert self.supervisor._leaving or not world.living, f"it has left {world.living}"

    def _bound(self, address: str) -> Bound:
        """Of the second, as of a unix socket, there is one for all in any case."""
        shared = self.world.accept == "acceptor" or address == ADDRESSES[1]
        sockets: Any = [self.world.sockets.another() for _ in range(1 if shared else HUBS)]
        return Bound(address, shared, sockets)

    def _on_ready(self) -> None:
        self.ready = True

    # ---- what it is asked for

    def ask(self, function: Callable[[], object]) -> str:
        """Call a function; return "done", why it was refused, or "unknown" if the broker has died with it, or
        has not answered yet."""
        answers: list[str] = []

        def call() -> None:
            try:
                function()
            except ConfigError as error:
                answers.append(f"refused: {error}")
            except BrokerKilled:
                pass
            else:
                answers.append("done")

        self._greenlets.append(gevent.spawn(call))
        self.world.clock.idle()
        return answers[0] if answers else "unknown"

    def change(self, function: Callable[[], object]) -> str:
        """The same with what has to be an event."""
        return self.ask(lambda: self.supervisor.events.change(function))

    def end_greenlets(self) -> None:
        """It has been killed."""
        greenlets = self._greenlets
        if hasattr(self, "supervisor"):
            deployment: Any = self.supervisor.deployment
            greenlets = [*greenlets, *deployment._retirements._under_way.values()]
            greenlets += deployment._running
        current = gevent.getcurrent()
        gevent.killall([each for each in greenlets if each is not current], BrokerKilled, block=False)
