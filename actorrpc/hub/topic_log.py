"""The home of topics: a numbered log of each, and which hubs are given its messages. Plain data."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count

__all__ = ["Entry", "TopicLog", "TopicLogs"]

#: A subscription that moves, or waits for its hub, finds what it missed among these.
KEEP_MESSAGES = 4096
KEEP_BYTES = 4 * 1024 * 1024

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
    """One topic at its home. ``epoch`` names this numbering: another home, or a later log, has another."""

    epoch: str
    head: int = 0
    entries: deque[Entry] = field(default_factory=deque)
    size: int = 0
    subscribers: set[int] = field(default_factory=set)
    idle_since: float | None = None

    @property
    def kept(self) -> int:
        """Messages after this number can still be had."""
        return self.head - len(self.entries)

    def append(self, type: str, payload: bytes, now: float = 0.0) -> Entry:
        """Number a message and keep it; the oldest go when there are too many."""
        self.head += 1
        entry = Entry(self.head, type, payload, now)
        self.entries.append(entry)
        self.size += len(payload)
        while len(self.entries) > KEEP_MESSAGES or (self.size > KEEP_BYTES and len(self.entries) > 1):
            self._drop_oldest()
        return entry

    def drop_before(self, time: float) -> None:
        """Drop what was numbered earlier."""
        while self.entries and self.entries[0].at < time:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self.size -= len(self.entries.popleft().payload)

    def start_for(self, epoch: str, sequence: int) -> int:
        """The number after which a subscriber that stands at a position gets messages.

        A new one (no epoch) starts now; one from another epoch has seen nothing of this one.
        """
        if not epoch:
            return self.head
        return max(self.kept, min(sequence, self.head) if epoch == self.epoch else 0)

    def after(self, sequence: int) -> list[Entry]:
        """The kept messages with a higher number."""
        return [entry for entry in self.entries if entry.sequence > sequence]


class TopicLogs:
    """All topics whose home a hub is."""

    def __init__(self, hub: int, generation: int) -> None:
        self._prefix = f"{hub}.{generation}."
        self._count = count(1)
        self.logs: dict[str, TopicLog] = {}

    def get(self, topic: str) -> TopicLog:
        """The topic's log, begun if there is none."""
        log = self.logs.get(topic)
        if log is None:
            log = self.logs[topic] = TopicLog(f"{self._prefix}{next(self._count)}")
        return log

    def unsubscribe(self, topic: str, hub: int) -> None:
        log = self.logs.get(topic)
        if log is not None:
            log.subscribers.discard(hub)

    def forget_hub(self, hub: int) -> None:
        """A hub is dead: it subscribes to nothing."""
        for log in self.logs.values():
            log.subscribers.discard(hub)

    def sweep(self, now: float) -> None:
        """Drop messages, and topics without subscribers, that are older than ``LINGER`` seconds."""
        for topic, log in list(self.logs.items()):
            log.drop_before(now - LINGER)
            if log.subscribers:
                log.idle_since = None
            elif log.idle_since is None:
                log.idle_since = now
            elif now - log.idle_since > LINGER:
                del self.logs[topic]

    def __repr__(self) -> str:
        return f"<TopicLogs {len(self.logs)} topics>"
