"""``Server``: serve an app from a gevent program's own process, without a broker.

``serve`` starts a broker and hubs instead; it is what `actorrpc serve` calls.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType

from gevent import get_hub
from gevent.event import Event

from actorrpc.app import App
from actorrpc.broker.serve import serve
from actorrpc.config import Config
from actorrpc.core_dumps import no_core_dumps
from actorrpc.forks import guard, unguard
from actorrpc.hub.node import Node
from actorrpc.hub.runtime import grpcio
from actorrpc.hub_values import enter, leave
from actorrpc.ipc.queues import queue_of
from actorrpc.loop.timers import every
from actorrpc.net.listening import open_addresses, several
from actorrpc.tls.handshake.serving import LOOK, ServedFiles
from actorrpc.tls.handshake.settings import Tls

__all__ = ["ADDRESS", "Server", "serve"]

log = logging.getLogger("actorrpc")

#: Seconds between two looks at what connections spend, as between two reports of a hub.
SETTLE = 0.25

#: Where it listens, unless it is told: a free port.
ADDRESS = "127.0.0.1:0"


class Server:
    """Serve ``app`` in this process, in gevent's loop: it runs whenever the program's greenlets wait.

        with actorrpc.Server(app, bind="127.0.0.1:0") as server:
            print(server.address)
            server.wait()

    ``bind`` is one address or several, as ``--bind`` takes them (docs/operate/listening.md); by default it
    is a free port of 127.0.0.1, unless ``tls_bind`` is given. Clients of ``tls_bind`` speak TLS, with the
    certificates of ``tls``, or else of ``config`` (docs/operate/tls.md). ``unix_mode`` are the permissions
    of files of unix sockets.

    A client that blocks this thread, as grpcio's does, waits for ever: tests have a server in a thread of its
    own, ``actorrpc.testing.serve``.

    The app's ``on_start`` runs here before, and its ``on_stop`` in ``stop``. Raises ConfigError if it cannot
    listen, or ``on_start`` raises. Handlers that wait cooperate with the rest of the program only
    if its standard library is patched (``gevent.monkey.patch_all``) or they use gevent's own. grpcio does
    after ``grpc.experimental.gevent.init_gevent()``.
    """

    def __init__(
        self,
        app: App,
        bind: str | Sequence[str] | None = None,
        *,
        tls_bind: str | Sequence[str] = (),
        tls: Tls | None = None,
        config: Config | None = None,
        unix_mode: int | None = None,
    ) -> None:
        tls_binds = several(tls_bind)
        binds = several(bind) or (() if tls_binds else (ADDRESS,))
        self._config = (config or Config()).with_tls(tls).with_paths_from(os.getcwd())
        if not self._config.core_dumps:
            no_core_dumps()
        self._files = ServedFiles(bool(tls_binds), log)
        self._files.read(self._config)
        self._node = Node(app, self._config)
        self._sockets = ExitStack()
        self._stopped = Event()
        try:
            opened = open_addresses(binds, tls_binds=tls_binds, unix_mode=unix_mode)
            self._bounds = self._sockets.enter_context(opened)
            self._start_app()
        except BaseException:
            self._sockets.close()
            self._node.close()
            raise
        #: Where it listens, such as ``127.0.0.1:50051`` or ``unix:/run/app.sock``.
        self.addresses = [bound.text for bound in self._bounds]
        #: The first of them.
        self.address = self.addresses[0]
        self._node.reception.tls = frozenset(number for number, bound in enumerate(self._bounds) if bound.tls)
        for number, bound in enumerate(self._bounds):
            self._node.reception.listen(bound.sockets[0].dup(), queue_of(number))
        self._settler = every(SETTLE, self._node.settle, ref=False)
        self._looker = every(LOOK, self._files.warn, ref=False)
        #: This process is a child of the one that served.
        self._forked = False
        #: What the hubs of this process share may be needed here.
        self._shares = True
        self._closed = Event()
        guard(self, get_hub())
        if grpcio.blocks():
            log.warning(
                "a call by grpcio would stop this whole program until it ends: "
                "call grpc.experimental.gevent.init_gevent() before the first channel is made"
            )

    def _start_app(self) -> None:
        enter()
        try:
            self._node.host.start()
        except BaseException:
            leave()
            raise
        self._node.host.joined()

    @property
    def connection_count(self) -> int:
        """Connections that are open now."""
        return len(self._node.connections)

    def renew_tls(self) -> None:
        """Take up the files of certificates as they are now, as `actorrpc tls reload` does
        (docs/operate/tls.md).

        Raises ConfigError, with the reason, if one is wrong: then it goes by what it has.
        """
        self._files.read(self._config)
        self._node.renew_tls()

    def stop(self, drain_timeout: float | None = None) -> None:
        """Accept no more, let open calls end for at most ``drain_timeout`` seconds, and wait for that.

        With the last server of a process what they share (``per_hub``) is closed, which is waited for, too.

        The default is the config's ``drain_timeout``. A second call only waits. In a child that was forked
        from this process there is nothing to stop.
        """
        if self._forked:
            return
        timeout = self._config.drain_timeout if drain_timeout is None else drain_timeout
        self._sockets.close()
        self._node.stop(timeout, self._end)
        self._stopped.wait()
        if self._shares:
            self._shares = False
            try:
                leave()
            finally:
                self._closed.set()
        self._closed.wait()

    def _end(self) -> None:
        unguard(self)
        self._settler.close()
        self._looker.close()
        self._stopped.set()

    def wait(self) -> None:
        """Wait until another greenlet, or a signal handler, has called ``stop``.

        Raises RuntimeError in a child that was forked from this process, where nothing is served.
        """
        if self._forked:
            raise RuntimeError("this process is a child of the one that serves: make a Server of its own")
        self._stopped.wait()

    def forked(self) -> None:
        """This process is a child of the one that serves."""
        self._forked = True

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "forked" if self._forked else "stopped" if self._stopped.is_set() else "serving"
        return f"<Server {self.address} {state}, {self.connection_count} connections>"
