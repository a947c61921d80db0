"""What all connections of a hub share: routes, the app's services, the limits, and what a hub has one of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actorrpc.actor import Service
from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.calls.call import ServerCall
from actorrpc.hub.calls.chain import Chain, chain_of
from actorrpc.hub.calls.intercepted import Endings, InterceptedCall
from actorrpc.hub.calls.route import Route, routes_of
from actorrpc.hub.calls.shared_connections import Sharing
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.invoking.references import Invoking
from actorrpc.hub.metering.parsed import Parsed
from actorrpc.hub.metering.usage import Meter
from actorrpc.hub.runtime.runners import Runners
from actorrpc.hub.topics.engine import Topics

__all__ = ["Resources"]


class Resources:
    """One of them for each hub. Plain data, but for ``serve``."""

    #: Service classes by full name.
    services: dict[str, type[Service]]
    #: What the app does around its handlers; None: nothing.
    chain: Chain | None
    #: Routes by ``:path``.
    routes: dict[str, Route]
    #: The same for calls by actors, which the app's interceptors have seen where they began.
    inner_routes: dict[str, Route]
    #: Services with methods that run concurrently.
    concurrent_services: set[type[Service]]
    #: What a call is made of.
    call_type: type[ServerCall[Any]]

    def __init__(
        self,
        app: App,
        config: Config,
        topics: Topics,
        exchange: Exchange,
        server: bytes = b"",
        secret: bytes = b"",
    ) -> None:
        self.config = config
        self.topics = topics
        #: Calls of actors by each other, and of keyed ones by clients.
        self.exchange = exchange
        self.runners = Runners()
        #: Where its actors call others.
        self.invoking = Invoking(exchange, self.runners, config, server, secret, lambda: self.services)
        self.endings = Endings(self.runners)
        self.meter = Meter()
        self.sharing = Sharing(config)
        #: What handlers hold of their requests.
        self.parsed = Parsed(config)
        #: Turns that ran here, and calls of clients that began here.
        self.turns = 0
        self.calls = 0
        #: For tests: told after each turn which connection's it was, and how many turns that has had.
        self.on_turn: Callable[[str, int], None] | None = None
        self.serve(app)

    def serve(self, app: App) -> None:
        """Serve this app from now on: connections that come, and calls that are begun."""
        self.services = app.services
        self.chain = chain_of(app, self.config)
        self.routes = routes_of(app, self.chain)
        self.inner_routes = self.routes if self.chain is None else routes_of(app)
        self.concurrent_services = {route.service for route in self.routes.values() if route.concurrent}
        self.call_type = ServerCall if self.chain is None else InterceptedCall

    def __repr__(self) -> str:
        return f"<Resources for {len(self.services)} services, {self.turns} turns>"
