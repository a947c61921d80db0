"""What a hub hears of topics: one feed of each topic that is subscribed to here, from the topic's home,
and how subscriptions catch up.

A subscription is a position (epoch and number) and takes exactly the message after it. It skips what it has
had already; what it has missed, because it was moving, its hub came late or its sink was full, the home sends
again from the position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from time import monotonic

from actorrpc.hub.metering.rates import Rates
from actorrpc.hub.topics.engine import Sink, Subscription
from actorrpc.hub.topics.homes import Homes, names
from actorrpc.hub.topics.publications import check_size
from actorrpc.loop.timers import after
from actorrpc.pb import control_pb2

__all__ = ["Feeds"]

#: How long a sink with room again waits for others before what it has missed is asked for.
_GATHER = 0.02

#: The epoch of a question for all that there is.
_ANY = "*"


@dataclass(slots=True, eq=False, repr=False)
class _Feed:
    """The messages of one topic, on their way to the subscriptions of this hub."""

    topic: str
    #: What the topic is counted as.
    group: str
    #: "" until the home has answered.
    epoch: str = ""
    #: The last message that was numbered, as far as is known, and the last one that came: the next to
    #: come has the number after that.
    head: int = 0
    delivered: int = 0
    #: The position that the home is asked from and has not answered, and the number of the question.
    asked: tuple[str, int] | None = None
    request: int = 0
    #: In order. A dict in place of a set, for that.
    subscriptions: dict[Subscription, None] = field(default_factory=dict)

    def want(self, epoch: str, sequence: int) -> bool:
        """Add a position to what the home is asked for. False: the answer to come brings it anyhow."""
        if self.asked is None:
            self.asked = epoch, sequence
            return True
        before, number = self.asked
        if not epoch or before == _ANY or (before == epoch and number <= sequence):
            return False
        # Only the home knows which of two epochs is the present one.
        self.asked = (epoch, sequence) if before in ("", epoch) else (_ANY, 0)
        return True

    def misses(self, subscription: Subscription) -> bool:
        """Whether a subscription cannot take the messages that come next."""
        if not self.epoch or subscription.behind or subscription not in self.subscriptions:
            return False  # then the home's answer sees to it, or the sink does when it has room
        return subscription.epoch != self.epoch or subscription.sequence < self.delivered


class Feeds:
    """Those of one hub. ``tell_home(topic)`` is to send the topic's home what ``question`` returns, soon.

    ``delivered`` counts the messages that come, each once, however many subscriptions get it.
    """

    def __init__(self, hub: int, tell_home: Callable[[str], None], delivered: Rates) -> None:
        self._hub = hub
        self._tell_home = tell_home
        self._delivered = delivered
        self._homes = Homes.alone(hub)
        self._feeds: dict[str, _Feed] = {}
        #: The same by what their topics are counted as.
        self._groups: dict[str, _Feed] = {}
        self._requests = count(1)
        #: Topics whose home, another hub, has been asked for them.
        self._subscribed: set[str] = set()
        #: Those that are to catch up soon. A dict in place of a set, for its order.
        self._late: dict[Subscription, None] = {}

    # ---- for subscribers: see ``engine.Topics``

    def subscribe(self, topic: str, sink: Sink) -> Subscription:
        check_size(topic)
        subscription = Subscription(topic, sink)
        feed = self._join(subscription)
        if subscription.pending and feed.epoch:
            _begin(subscription, feed.epoch, feed.head)
        return subscription

    def thaw(self, subscription: Subscription) -> None:
        self._join(subscription)  # now, so that the home does not forget the topic meanwhile

    def catch_up(self, subscription: Subscription) -> None:
        feed = self._feeds.get(subscription.topic)
        if feed is not None and feed.misses(subscription):
            self._ask(feed, subscription)

    def catch_up_soon(self, subscription: Subscription) -> None:
        """With others that come soon: the home sends what they have missed once, to all of them."""
        subscription.behind = False
        if not self._late:
            after(_GATHER, self._catch_up_late)
        self._late[subscription] = None

    def _catch_up_late(self) -> None:
        late, self._late = self._late, {}
        feeds: dict[str, list[Subscription]] = {}
        for each in late:
            feed = self._feeds.get(each.topic)
            if feed is not None and not each.sink.frozen and feed.misses(each):
                feeds.setdefault(each.topic, []).append(each)
        for topic, missing in feeds.items():
            if (feed := self._feeds.get(topic)) is not None:
                self._ask(feed, *missing)

    def unsubscribe(self, subscription: Subscription) -> None:
        feed = self._feeds.get(subscription.topic)
        if feed is None or subscription not in feed.subscriptions:
            return
        del feed.subscriptions[subscription]
        if not feed.subscriptions:
            del self._feeds[feed.topic], self._groups[feed.group]
            self._tell_home(feed.topic)

    def _join(self, subscription: Subscription) -> _Feed:
        topic = subscription.topic
        feed = self._feeds.get(topic)
        if feed is None:
            feed = self._feeds[topic] = self._groups[subscription.group] = _Feed(topic, subscription.group)
            feed.subscriptions[subscription] = None
            self._ask(feed, subscription)
        else:
            feed.subscriptions[subscription] = None
        return feed

    # ---- what the homes are asked

    def _ask(self, feed: _Feed, *subscriptions: Subscription) -> None:
        """Ask the home for what comes after their positions, if what is asked already does not bring it."""
        if [each for each in subscriptions if feed.want(each.epoch, each.sequence)]:
            self._ask_now(feed)

    def _ask_now(self, feed: _Feed) -> None:
        feed.request = next(self._requests)
        self._tell_home(feed.topic)

    def ask_anew(self, topics: Iterable[str]) -> None:
        """Ask homes that know nothing of this hub."""
        for topic in topics:
            if (feed := self._feeds.get(topic)) is not None:
                feed.epoch, feed.asked = "", None
                self._ask(feed, *feed.subscriptions)

    def concerns(self, topic: str) -> bool:
        """Whether there is something to tell the topic's home: that it is wanted here, or not any more."""
        return topic in self._feeds or topic in self._subscribed

    def question(self, topic: str) -> control_pb2.HubToHub:
        """What the topic's home is to be told now: whether it is wanted here, and from where. From then on it
        counts as told."""
        feed = self._feeds.get(topic)
        home, term = self._homes.where(topic)
        if feed is None:
            self._subscribed.discard(topic)
            return control_pb2.HubToHub(unsubscribe=control_pb2.Unsubscribe(topic=topic, term=term))
        if home != self._hub:
            self._subscribed.add(topic)
        epoch, sequence = feed.asked or (_ANY, 0)
        return control_pb2.HubToHub(
            subscribe=control_pb2.Subscribe(
                topic=topic, epoch=epoch, sequence=sequence, term=term, request=feed.request
            )
        )

    # ---- other hubs come and go

    def set_homes(self, homes: Homes) -> list[str]:
        """Learn which hub is whose home. Returns the topics that are to be asked for anew."""
        before, self._homes = self._homes, homes
        self._subscribed = {each for each in self._subscribed if before.where(each) == homes.where(each)}
        return [topic for topic in self._feeds if before.where(topic) != homes.where(topic)]

    def linked(self, hub: int) -> None:
        """There is a link to a hub that knows nothing of this one."""
        self.ask_anew([topic for topic in self._feeds if self._homes.where(topic)[0] == hub])

    def unlinked(self, hub: int) -> None:
        """It knows nothing of this one any more."""
        self._subscribed = {topic for topic in self._subscribed if self._homes.where(topic)[0] != hub}

    # ---- what the homes say

    def _from_home(self, source: int, topic: str, term: int) -> _Feed | None:
        """The feed that a hub may say something to: it is the topic's home, and has not been another's."""
        feed = self._feeds.get(topic)
        return feed if feed is not None and names(self._homes.where(topic), source, term) else None

    def hear_subscribed(self, source: int, message: control_pb2.HubToHub) -> None:
        """A home has answered a question, or has dropped what was not sent yet."""
        answer = message.subscribed
        feed = self._from_home(source, answer.topic, answer.term)
        if feed is None or (answer.request and answer.request != feed.request):
            return  # the second: it was asked again since, or for those that have all gone
        feed.asked = None
        feed.head = max(feed.head, answer.head) if feed.epoch == answer.epoch else answer.head
        feed.epoch, feed.delivered = answer.epoch, answer.sequence
        serving = [each for each in feed.subscriptions if not each.sink.frozen]  # the others ask later
        for subscription in serving:
            _place(subscription, answer)
        self._ask(feed, *(each for each in serving if feed.misses(each)))

    def hear_delivery(self, source: int, message: control_pb2.HubToHub) -> None:
        """A home has sent a message of a topic."""
        delivery = message.deliver
        feed = self._from_home(source, delivery.topic, delivery.term)
        if feed is None or feed.epoch != delivery.epoch:
            return
        if delivery.sequence > feed.delivered + 1 and feed.want(feed.epoch, feed.delivered):
            self._ask_now(feed)  # something has not come
        feed.delivered = delivery.sequence
        feed.head = max(feed.head, delivery.sequence)
        self._delivered.count(feed.group, monotonic())
        self._give(feed, delivery.type, delivery.payload)

    def _give(self, feed: _Feed, type: str, payload: bytes) -> None:
        """Hand the message that has come to the subscriptions whose position is before it."""
        topic, epoch, number = feed.topic, feed.epoch, feed.delivered
        before = number - 1
        for subscription in list(feed.subscriptions):
            sink = subscription.sink
            if subscription.sequence != before or subscription.epoch != epoch or sink.frozen:
                continue
            subscription.sequence = number  # first: what the sink does may come back here
            if not sink.take(topic, type, payload):
                subscription.sequence = before
                subscription.behind = True  # the home keeps it meanwhile

    def subscribers(self, group: str) -> int:
        """How many subscriptions there are to a topic, by what it is counted as."""
        feed = self._groups.get(group)
        return 0 if feed is None else len(feed.subscriptions)

    def __repr__(self) -> str:
        return f"<Feeds of {len(self._feeds)} topics>"


def _begin(subscription: Subscription, epoch: str, sequence: int) -> None:
    subscription.epoch, subscription.sequence = epoch, sequence
    subscription.sink.begun()


def _place(subscription: Subscription, answer: control_pb2.Subscribed) -> None:
    """Tell a subscription where the home goes on from."""
    if subscription.sink.frozen:
        return  # it asks again where it is served next
    if subscription.pending:
        _begin(subscription, answer.epoch, answer.head)
        return
    if subscription.epoch != answer.epoch:
        subscription.epoch, subscription.sequence = answer.epoch, 0
    if subscription.sequence < answer.kept:
        first, subscription.sequence = subscription.sequence + 1, answer.kept
        subscription.sink.lost(subscription.group, first, answer.kept)
