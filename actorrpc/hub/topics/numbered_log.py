"""The log of each topic at its home, which gives each message its number; and which hubs are sent them. Plain
data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from itertools import count

__all__ = ["Entry", "TopicLog", "TopicLogs"]

#: A subscription that moves, or waits for its hub, finds what it missed among these.
KEEP_MESSAGES = 4096
KEEP_BYTES = 4 * 1024 * 1024

#: The same for what a hub has not been sent yet, because its link is full, or will still ask for: one turn
#: can publish more than a link holds, and the hubs at its other end be well.
BEHIND_MESSAGES = 100_000
BEHIND_BYTES = 32 * 1024 * 1024

#: What all logs of a hub may take, with what each message and each topic costs beside its bytes. Beyond it
#: the largest lose their older half, and then topics without subscribers are forgotten.
LOGS_BYTES = 64 * 1024 * 1024
ENTRY_COST, LOG_COST = 200, 1000

#: How long a message, and a topic without subscribers, is kept, in seconds: longer than any handoff takes.
LINGER = 60.0


@dataclass(frozen=True)
class Entry:
    """One published message."""

    sequence: int
    type: str
    payload: bytes
    #: When it was numbered, on the monotonic clock of its home.
    at: float = 0.0


@dataclass
class TopicLog:
    """One topic at its home. ``epoch`` names this numbering: another home has another, and so has a later
    log of the same home."""

    epoch: str
    head: int = 0
    entries: deque[Entry] = field(default_factory=deque)
    size: int = 0
    subscribers: set[int] = field(default_factory=set)
    #: Those of them that are not up to date, because their links are full: the last number each was sent.
    behind: dict[int, int] = field(default_factory=dict)
    #: By hub, the last publication of it that has been numbered: it may come again.
    numbered: dict[int, int] = field(default_factory=dict)
    idle_since: float | None = None

    @property
    def kept(self) -> int:
        """Messages after this number can still be had."""
        return self.head - len(self.entries)

    def append(self, type: str, payload: bytes, now: float = 0.0, *, awaited: bool = False) -> Entry:
        """Number a message and keep it; the oldest go when there are too many.

        ``awaited``: hubs may come that are behind from the beginning.
        """
        entry = Entry(self.head + 1, type, payload, now)
        self.add(entry)
        self.trim(awaited)
        return entry

    def add(self, entry: Entry) -> None:
        """Keep the next message, which has its number."""
        self.head = entry.sequence
        self.entries.append(entry)
        self.size += len(entry.payload)

    def trim(self, awaited: bool = False) -> None:
        """Drop what is too much; what hubs that are behind still need, only where it is far too much."""
        if not self._exceeds(KEEP_MESSAGES, KEEP_BYTES):
            return
        wanted = 0 if awaited else min(self.behind.values(), default=self.head)
        while self._exceeds(KEEP_MESSAGES, KEEP_BYTES) and (
            self.kept < wanted or self._exceeds(BEHIND_MESSAGES, BEHIND_BYTES)
        ):
            self._drop_oldest()

    def _exceeds(self, messages: int, size: int) -> bool:
        return len(self.entries) > messages or (self.size > size and len(self.entries) > 1)

    @property
    def cost(self) -> int:
        """About as many bytes as it takes in memory."""
        return self.size + ENTRY_COST * len(self.entries) + LOG_COST

    def drop_before(self, time: float) -> None:
        """Drop what was numbered earlier."""
        while self.entries and self.entries[0].at < time:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self.size -= len(self.entries.popleft().payload)

    def halve(self) -> None:
        """Drop the oldest, until at most half of the bytes and half of the messages are left."""
        size, messages = self.size // 2, len(self.entries) // 2
        while self.entries and (self.size > size or len(self.entries) > messages):
            self._drop_oldest()

    def start_for(self, epoch: str, sequence: int) -> int:
        """The number after which a subscriber at a position is sent messages.

        A new one (without an epoch) starts now; one from another epoch has seen nothing of this one.
        """
        if not epoch:
            return self.head
        return max(self.kept, min(sequence, self.head) if epoch == self.epoch else 0)

    def entry(self, sequence: int) -> Entry:
        """The message with a number after ``kept``, up to ``head``."""
        return self.entries[sequence - self.kept - 1]

    def unsubscribe(self, hub: int) -> None:
        self.subscribers.discard(hub)
        self.behind.pop(hub, None)


class TopicLogs:
    """The logs of all topics that a hub is the home of. ``forgotten(topic)`` is called when one is dropped,
    with its messages, to make room. ``process`` is what the names of its epochs begin with: no other process
    has the same."""

    def __init__(self, process: str, forgotten: Callable[[str], None] = lambda topic: None) -> None:
        self._process = process
        self._count = count(1)
        self._forgotten = forgotten
        self.logs: dict[str, TopicLog] = {}
        #: About as many bytes as they take: a sweep counts anew.
        self.size = 0

    def get(self, topic: str, lost: int = 0) -> TopicLog:
        """The topic's log. If there is none it is begun, after ``lost`` messages that nobody can have."""
        log = self.logs.get(topic)
        if log is None:
            log = self.logs[topic] = TopicLog(f"{self._process}.{next(self._count)}", lost)
            self.size += log.cost + len(topic)
        return log

    def append(self, log: TopicLog, type: str, payload: bytes, now: float, awaited: bool = False) -> Entry:
        """Number a message and keep it; the oldest go, here or elsewhere, when there are too many."""
        before = log.cost
        entry = log.append(type, payload, now, awaited=awaited)
        self.size += log.cost - before
        if self.size > LOGS_BYTES:
            self._make_room()
        return entry

    def add(self, log: TopicLog, entry: Entry) -> None:
        """Keep the next message of a log, which has its number."""
        before = log.cost
        log.add(entry)
        self.size += log.cost - before
        if self.size > LOGS_BYTES:
            self._make_room()

    def trim(self, log: TopicLog) -> None:
        """A hub is up to date again: drop what was kept for it."""
        before = log.cost
        log.trim()
        self.size += log.cost - before

    def unsubscribe(self, topic: str, hub: int) -> None:
        log = self.logs.get(topic)
        if log is not None:
            log.unsubscribe(hub)

    def forget_hub(self, hub: int) -> None:
        """A hub is dead, or has no link: it is sent nothing until it subscribes again."""
        for log in self.logs.values():
            log.unsubscribe(hub)

    def keep_publishers(self, hubs: Collection[int]) -> None:
        """No others will publish anything again that has been numbered."""
        for log in self.logs.values():
            log.numbered = {hub: request for hub, request in log.numbered.items() if hub in hubs}

    def give(self, gone: Callable[[str], bool]) -> dict[str, TopicLog]:
        """Take topics out, for another hub, which is asked anew by those that subscribe."""
        given = {topic: log for topic, log in self.logs.items() if gone(topic)}
        for topic, log in given.items():
            del self.logs[topic]
            log.subscribers.clear()
            log.behind.clear()
        self._count_anew()
        return given

    def take(self, logs: Mapping[str, TopicLog]) -> None:
        """Add topics that another hub had."""
        for topic, log in logs.items():
            if (before := self.logs.pop(topic, None)) is not None:
                self.size -= before.cost + len(topic)
            self.logs[topic] = log
            self.size += log.cost + len(topic)
        if self.size > LOGS_BYTES:
            self._make_room()

    def sweep(self, now: float, awaited: Callable[[str], bool] = lambda topic: False) -> None:
        """Drop messages, and topics without subscribers, that are older than ``LINGER`` seconds.

        A topic that is ``awaited`` stays, without its messages: that there were some may still be asked.
        """
        for topic, log in list(self.logs.items()):
            log.drop_before(now - LINGER)
            if log.subscribers or awaited(topic):
                log.idle_since = None
            elif log.idle_since is None:
                log.idle_since = now
            elif now - log.idle_since > LINGER:
                del self.logs[topic]
        self._count_anew()

    def _make_room(self) -> None:
        """Come well below the limit, so that this is rare."""
        goal = LOGS_BYTES * 3 // 4
        for log in sorted(self.logs.values(), key=lambda log: log.cost, reverse=True):
            before = log.cost
            log.halve()
            self.size += log.cost - before
            if self.size <= goal:
                return
        for topic in [topic for topic, log in self.logs.items() if not log.subscribers]:
            self.size -= self.logs.pop(topic).cost + len(topic)
            self._forgotten(topic)
            if self.size <= goal:
                return

    def _count_anew(self) -> None:
        self.size = sum(log.cost + len(topic) for topic, log in self.logs.items())

    def __repr__(self) -> str:
        return f"<TopicLogs {len(self.logs)} topics, {self.size} bytes>"
