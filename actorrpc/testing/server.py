"""``serve``: a server in a thread of its own, for the length of a ``with`` block, and whose connections move
when a test wants them to."""

from __future__ import annotations

import atexit
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.errors import ConfigError
from actorrpc.hub.node import STOP_GRACE, Node
from actorrpc.hub.runtime.grpcio import cooperate_if_patched
from actorrpc.hub_values import CLOSING, enter, leave
from actorrpc.ipc.queues import queue_of
from actorrpc.loop.timers import every
from actorrpc.net.listening import open_addresses, several
from actorrpc.pb.control_pb2 import MoveResult
from actorrpc.server import ADDRESS, SETTLE
from actorrpc.testing.hubs import Hubs
from actorrpc.testing.raised import Raised
from actorrpc.testing.thread import PATIENCE, LoopThread, Stuck
from actorrpc.tls.handshake.serving import check_files
from actorrpc.tls.handshake.settings import Tls

__all__ = ["Actor", "Connection", "NotMoved", "Serve", "Server", "Stuck", "serve"]

T = TypeVar("T")


class NotMoved(Exception):
    """A connection, or a keyed actor, stays where it is. The text says which, and why."""


@dataclass(frozen=True)
class Connection:
    """One client's connection, as it was when a test asked."""

    #: What handlers see as ``connection_id``. It stays the same when the connection moves.
    id: str
    #: The client's address, which handlers see as ``call.peer``.
    peer: str
    #: The hub that serves it, from 0 on.
    hub: int
    #: How often it has moved.
    moves: int
    #: Its open calls.
    calls: int


@dataclass(frozen=True)
class Actor:
    """One keyed actor that is active, as it was when a test asked."""

    #: The full name of its service, such as ``chat.Room``.
    service: str
    key: str
    #: The hub where it lives, from 0 on.
    hub: int
    #: Its open calls.
    calls: int

    @property
    def id(self) -> str:
        """What ``move`` takes: ``chat.Room/lobby``."""
        return f"{self.service}/{self.key}"


class Server:
    """What ``serve`` gives. It is for the threads of the test, not for handlers."""

    def __init__(
        self,
        app: App,
        hubs: int,
        move_every: int,
        binds: Sequence[str],
        tls_binds: Sequence[str],
        config: Config,
    ) -> None:
        self._config = config
        #: Those that ``channel`` has made: they are closed first, as clients go before their server does.
        self._channels = ExitStack()
        self._sockets = ExitStack()
        self._stopped = False
        self._pid = os.getpid()
        #: Where it listens, such as ``127.0.0.1:50051`` or ``unix:/tmp/app.sock``; and the first of them.
        self.addresses: list[str] = []
        self.address = ""
        self._thread = LoopThread(f"actorrpc.testing of {app!r}")
        self._raised = Raised(self._thread.ident)
        try:
            self._hubs = self._thread.ask(lambda: Hubs(app, config, hubs, move_every=move_every))
            self._thread.run(lambda: self._listen(binds, tls_binds), PATIENCE)
        except BaseException:
            self._end()
            raise
        # A program that does not leave the block must not be held up at its end by a thread that is gone.
        atexit.register(self.stop)

    def _listen(self, binds: Sequence[str], tls_binds: Sequence[str]) -> None:
        try:
            bounds = self._sockets.enter_context(open_addresses(binds, tls_binds=tls_binds))
            self._start_app()
        except BaseException:
            self._sockets.close()
            self._hubs.close()
            raise
        self.addresses = [bound.text for bound in bounds]
        self.address = self.addresses[0]
        reception = self._hubs.nodes[0].reception
        self._tls = [bound.tls for bound in bounds]
        reception.tls = frozenset(number for number, bound in enumerate(bounds) if bound.tls)
        for number, bound in enumerate(bounds):
            reception.listen(bound.sockets[0].dup(), queue_of(number))
        self._settlers = {node: every(SETTLE, node.settle, ref=False) for node in self._hubs.nodes}

    def _start_app(self) -> None:
        """On one hub, as this is one process."""
        enter()
        try:
            self._hubs.nodes[0].host.start()
        except BaseException:
            leave()
            raise

    # ---- what clients do

    def channel(self, *options: tuple[str, Any], credentials: Any = None) -> Any:
        """A ``grpc.Channel`` to the server, closed at the end of the block. Needs grpcio.

        It has a connection of its own, and so an actor of its own: channels that are made with
        ``grpc.insecure_channel`` to one address share a connection. ``options`` are further ones of grpcio's.
        With ``credentials``, such as ``grpc.ssl_channel_credentials`` makes, it speaks TLS, to the first
        address for that.
        """
        try:
            grpc = importlib.import_module("grpc")
        except ModuleNotFoundError as error:
            raise RuntimeError("a channel is grpcio's: pip install grpcio") from error
        own = ("grpc.use_local_subchannel_pool", 1)
        if credentials is None:
            made = grpc.insecure_channel(self.address, options=[own, *options])
        else:
            address = next((each for each, tls in zip(self.addresses, self._tls, strict=True) if tls), "")
            made = grpc.secure_channel(address or self.address, credentials, options=[own, *options])
        return self._channels.enter_context(made)

    # ---- what hubs do

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open, oldest first; waits until none is on its way to another hub."""
        found = [
            Connection(each.id, each.peer, hub=node.hub, moves=each.moves, calls=len(each.calls))
            for node, each in self._run(self._hubs.settled)
        ]
        return sorted(found, key=lambda each: [int(part) for part in each.id.split("-")])

    @property
    def actors(self) -> list[Actor]:
        """The keyed actors that are active, by service and key; waits until none is on its way to another
        hub."""
        found = [
            Actor(*each.name, hub=node.hub, calls=len(each.calls))
            for node, each in self._run(self._hubs.settled_actors)
        ]
        return sorted(found, key=lambda each: (each.service, each.key))

    def move(self, connection: str = "", hub: int | None = None) -> None:
        """Move a connection to a hub, and return when it is served there: its session, its calls and its
        actors are frozen, and made anew. Or move a keyed actor, whose id is its service and key:
        ``server.move("chat.Room/lobby")``.

        By default it is the only connection, and goes to the next hub. Raises NotMoved with the reason if it
        stays where it is, as it does while a handler runs for longer than ``Config.quiesce_timeout``; and
        LookupError for what is not there, or if there are several connections and none is named.
        """
        if len(self._hubs.nodes) == 1:
            raise LookupError("there is one hub only: connections move where there are two or more")
        id = connection or self._only_connection()
        result = self._run(lambda: self._hubs.move(id, hub))
        if result.outcome == MoveResult.MOVED:
            return
        raise (NotMoved if result.outcome == MoveResult.ABORTED else LookupError)(f"{id}: {result.why}")

    def _only_connection(self) -> str:
        ids = [each.id for each in self.connections]
        if len(ids) != 1:
            there = f"name one of {', '.join(ids)}" if ids else "there is none before the first call"
            raise LookupError(f"which connection is to move? {there}")
        return ids[0]

    def move_all(self) -> None:
        """Move each connection and each keyed actor to its next hub, one after the other. Raises NotMoved if
        any of them stays where it is, after all others have been moved."""
        stayed = []
        ids = [*[each.id for each in self.connections], *[each.id for each in self.actors]]
        for id in ids:
            try:
                self.move(id)
            except NotMoved as error:
                stayed.append(str(error))
            except LookupError:
                pass  # its client has gone meanwhile, or it was passivated
        if stayed:
            raise NotMoved("; ".join(stayed))

    @property
    def moves(self) -> int:
        """How many moves there have been, of all connections and keyed actors."""
        return sum(not each.aborted for each in self._hubs.moved)

    def kill_hub(self, hub: int) -> None:
        """Have a hub die, as SIGKILL ends its process: its connections are closed, its keyed actors and what
        it knows of topics are lost, no hook runs, and the other hubs go on as they do then.

        Hub 0 cannot be killed, since it is the one that accepts connections, and runs what the app does
        beside calls: move there to another what is to die. A turn cannot be cut off in the middle, either:
        RuntimeError says which one runs, if it does not end within ``Config.quiesce_timeout``. The hub stays
        dead. Raises LookupError if it is not there.
        """
        if hub == 0:
            raise ValueError("hub 0 cannot be killed: it accepts connections, and runs the app's on_start")
        node = next((node for node in self._hubs.nodes if node.hub == hub), None)
        if node is None:
            raise LookupError(f"hub {hub} is not there")
        if why := self._run(lambda: self._kill(node)):
            raise RuntimeError(f"hub {hub} cannot be killed now: {why}")

    def _kill(self, node: Node) -> str:
        why = self._hubs.kill(node)
        if not why:
            self._settlers.pop(node).close()
        return why

    @property
    def errors(self) -> list[BaseException]:
        """What handlers and hooks have raised, but for RpcErrors, which are answers. They are logged, too."""
        return list(self._raised.errors)

    def _run(self, function: Callable[[], T]) -> T:
        if self._stopped:
            raise RuntimeError(f"{self!r} no longer serves")
        # A move waits for handlers, and perhaps for one that is under way already.
        return self._thread.run(function, PATIENCE + 3 * self._config.quiesce_timeout)

    # ---- the end

    def stop(self, drain_timeout: float = 0.0) -> None:
        """Stop, as a server does that is told to, and wait for it: clients get GOAWAY, and calls that do not
        end within ``drain_timeout`` seconds get UNAVAILABLE. The end of the block does that too.

        Raises Stuck, with the stack, if a handler blocks the server's thread.
        """
        if self._stopped or os.getpid() != self._pid:  # in a child there is nothing of it
            return
        self._stopped = True
        atexit.unregister(self.stop)
        try:
            self._thread.run(lambda: self._stop(drain_timeout), PATIENCE + drain_timeout + STOP_GRACE)
        finally:
            self._end()

    def _stop(self, drain_timeout: float) -> None:
        self._sockets.close()
        self._hubs.stop(drain_timeout)
        for settler in self._settlers.values():
            settler.close()
        leave(CLOSING)

    def _end(self) -> None:
        try:
            self._thread.stop()
        finally:
            self._raised.close()

    def __repr__(self) -> str:
        return f"<Server {self.address} {'stopped' if self._stopped else 'serving'}>"


class Serve(Protocol):
    """The fixture ``actorrpc_server``: as ``serve``, until the end of the test."""

    def __call__(
        self,
        app: App,
        *,
        hubs: int = 2,
        move_every: int = 0,
        bind: str | Sequence[str] | None = None,
        tls_bind: str | Sequence[str] = (),
        tls: Tls | None = None,
        config: Config | None = None,
    ) -> Server: ...


@contextmanager
def serve(
    app: App,
    *,
    hubs: int = 2,
    move_every: int = 0,
    bind: str | Sequence[str] | None = None,
    tls_bind: str | Sequence[str] = (),
    tls: Tls | None = None,
    config: Config | None = None,
) -> Iterator[Server]:
    """Serve ``app`` for the length of the block, from a thread of its own, on ``hubs`` hubs.

        with actorrpc.testing.serve(app) as server, server.channel() as channel:
            stub = HelloStub(channel)
            stub.Greet(HelloRequest(name="Ada"))
            server.move()
            stub.Greet(HelloRequest(name="Ada"))

    The hubs are as those of ``actorrpc serve``, except that they share the thread. With ``move_every`` each
    connection, and each keyed actor, is moved on to the next hub after so many messages and replies: 1 finds
    what does not survive a move. ``bind``, ``tls_bind`` and ``tls`` are those of
    ``actorrpc.Server``. Any client in any thread can call it, asyncio's too.

    Raises ConfigError if it cannot serve, and TypeError for what is not an App. Nothing is left after the
    block: no thread, socket or connection.
    """
    cooperate_if_patched()
    if not isinstance(app, App):
        raise TypeError(f"serve takes an actorrpc.App, not {app!r}")
    if hubs < 1:
        raise ConfigError(f"at least one hub is needed, not {hubs}")
    if move_every < 0 or (move_every and hubs < 2):
        raise ConfigError(f"move_every={move_every} with hubs={hubs}: connections move between hubs")
    tls_binds = several(tls_bind)
    binds = several(bind) or (() if tls_binds else (ADDRESS,))
    config = (config or Config()).with_tls(tls).with_paths_from(os.getcwd())
    check_files(config, bool(tls_binds))
    server = Server(app, hubs, move_every, binds, tls_binds, config)
    try:
        with server._channels:
            yield server
    finally:
        server.stop()
