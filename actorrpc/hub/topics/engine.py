"""The seam of topics: what connections ask of an engine, and what an engine needs of whoever subscribes.

The engine of this package is ``embedded``: hubs number messages and send them to each other. Another one,
with a store behind it, would implement ``Topics`` too: connections and actors know only what is on this page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from actorrpc.hub.metering.rates import counted_as

__all__ = ["Sink", "Subscription", "Topics"]


class Sink(Protocol):
    """What a subscription gives its messages to: a call, or an actor's mailbox."""

    @property
    def frozen(self) -> bool:
        """Its connection may be on its way to another hub: the sink is given nothing, and told nothing. Where
        it is served next, ``Topics.catch_up`` is called."""

    def begun(self) -> None:
        """The subscription is in force: what is published from now on comes. Called once."""

    def take(self, topic: str, type: str, payload: bytes) -> bool:
        """Take the next message, of a type with that full name.

        False: there is no room for it. It is offered again, after ``Topics.catch_up_soon`` has been called.
        """

    def lost(self, topic: str, first: int, last: int) -> None:
        """The next messages are those after ``last``: the engine does not have the ones from ``first`` on any
        more. ``topic`` is what it is counted as, which is short. May end the subscription."""


@dataclass(slots=True, eq=False, repr=False)
class Subscription:
    """A position in a topic, and the sink that is given what comes after it."""

    topic: str
    sink: Sink
    #: What the topic is counted as.
    group: str = field(init=False)
    #: The numbering that the position is in; "" until the subscription is in force.
    epoch: str = ""
    #: The number of the last message that the sink was given.
    sequence: int = 0
    #: The sink had no room, so messages after the position have been left with the engine.
    behind: bool = False

    def __post_init__(self) -> None:
        self.group = counted_as(self.topic)

    @property
    def pending(self) -> bool:
        """It is not in force yet."""
        return not self.epoch

    def __repr__(self) -> str:
        return f"<Subscription to {self.topic!r} at {self.epoch}:{self.sequence}>"


class Topics(Protocol):
    """The topics of a server, as the connections of one hub use them. All is called in the hub's thread.

    Messages of one topic come to all subscribers in the same order, and those that one connection publishes
    to a topic in the order in which it did so, provided that it does not move before they are acknowledged.
    """

    def subscribe(self, topic: str, sink: Sink) -> Subscription:
        """Begin a subscription to what is published from now on.

        ``sink.begun`` is called when it is in force, perhaps before this returns. Raises RpcError for a name
        that is too long.
        """

    def unsubscribe(self, subscription: Subscription) -> None:
        """End it: its sink gets nothing more. One that has ended is ignored."""

    def thaw(self, subscription: Subscription) -> None:
        """Take up a subscription of a connection that is arriving, so that what comes after its position is
        kept; ``catch_up`` follows when the connection is served."""

    def catch_up(self, subscription: Subscription) -> None:
        """Its sink is not ``frozen`` any more: have it given what it has missed."""

    def catch_up_soon(self, subscription: Subscription) -> None:
        """Its sink has room again: have it given what was left. The engine may gather several of them."""

    def publish(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> None:
        """Publish a message of a type with that full name.

        ``acknowledged`` is called when the message has its place among the topic's, perhaps before this
        returns. ``group`` is what the topic is counted as. Raises RpcError: RESOURCE_EXHAUSTED for a message
        that is too large, or where too much waits on this hub; UNAVAILABLE where too much waits for whoever
        numbers the topic.
        """

    def reserve(
        self, topic: str, type: str, payload: bytes, acknowledged: Callable[[], None], group: str
    ) -> Callable[[], None]:
        """Take a message that is to be published later: when what is returned is called, once. That raises
        nothing; this raises as ``publish`` does."""

    def heard(self, group: str, now: float) -> float:
        """Messages a second that each subscription here to a topic gets, by what it is counted as."""

    def traffic(self, group: str, now: float) -> float:
        """Messages a second that are published here to a topic, and those given here to each subscription."""

    def close(self) -> None:
        """The hub has no connections any more, and ends."""
