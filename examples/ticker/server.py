"""The ticker: ``actorrpc serve examples.ticker.server:app``."""

from __future__ import annotations

import actorrpc
from actorrpc import RpcError, StatusCode
from examples.ticker.reader import Reader
from examples.ticker.ticker_actorrpc import FeedBase, PricesBase
from examples.ticker.ticker_pb2 import FeedState, Price, StatusRequest, Symbol

__all__ = ["Feed", "Prices", "app"]


class Feed(FeedBase):
    """The actor that reads the exchange. There is one in the whole server, so each price is read once, also
    where the server has many hubs, and while it is reloaded."""

    #: What it reads with does not travel: on_freeze ends it here, and on_thaw begins again with a new one.
    reader = actorrpc.transient(Reader)

    def on_activate(self) -> None:
        # Whoever calls for another key would make a second reader.
        if self.key != "feed":
            raise RpcError(StatusCode.NOT_FOUND, f"there is no feed {self.key!r}")
        self._begin()

    def on_freeze(self) -> None:
        # From here on nothing is published, and the state stays as it is. The move waits until what has been
        # published has its place in its topic, so that what the next hub publishes comes after it.
        self.reader.end()

    def on_thaw(self) -> None:
        self._begin()

    def on_passivate(self) -> None:
        self.reader.end()

    def Status(self, request: StatusRequest, call: actorrpc.Call[FeedState]) -> FeedState:
        return self.state

    def _begin(self) -> None:
        self.reader.begin(self.state.line, self._take)

    def _take(self, line: int, price: Price) -> None:
        """A price has been read. This runs in the reader's greenlet, beside the actor's turns, and never
        waits: so nothing comes between publishing and writing down what has been.

        It is ``self.publish``, and not ``app.publish``, for which a move of this actor would not wait.
        """
        self.publish(topic_of(price.symbol), price)
        self.state.line = line
        self.state.published += 1


class Prices(PricesBase):
    """Stateless: to watch is to subscribe the call, on whichever hub the client is."""

    def Watch(self, request: Symbol, call: actorrpc.Call[Price]) -> None:
        if not request.symbol:
            raise RpcError(StatusCode.INVALID_ARGUMENT, "which symbol?")
        self.subscribe(topic_of(request.symbol), call)
        call.send_initial_metadata({})  # so that the client knows that it watches


def topic_of(symbol: str) -> str:
    return f"price/{symbol}"


app = actorrpc.App([Feed, Prices])
