"""How often a peer may send PING (gRFC A8) and WINDOW_UPDATE. Our own PINGs:
``hub.serving.lifetime_timer``.

Both depend on what we have sent to it: after each frame of ours it may ask again whether we are alive, and it
has to open its windows for what it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.config import Config

__all__ = ["KEEPALIVE_PING", "Allowance", "ping_interval"]

#: What our own PINGs carry.
KEEPALIVE_PING = b"actorrpc"

#: A peer that sends more PINGs too early than this is told to go. And the least seconds between two of them
#: while no call is open.
_MAX_STRIKES = 2
_INTERVAL_WITHOUT_CALLS = 7200.0

#: How many WINDOW_UPDATEs cost nothing for each frame that we have sent, and how many at most.
_UPDATES_PER_FRAME = 4
_MAX_UPDATES = 10_000


def ping_interval(config: Config, calls: bool) -> float:
    """The least seconds between two PINGs of the peer; ``calls``: whether any call is open."""
    interval = config.permit_keepalive_time
    if interval and not calls and not config.permit_keepalive_without_calls:
        interval = max(interval, _INTERVAL_WITHOUT_CALLS)
    return interval


@dataclass(slots=True, eq=False, repr=False)
class Allowance:
    """What one peer may still send. ``sent`` is how many frames of HEADERS or DATA we have sent so far."""

    #: When its last PING came, and how many have come too early.
    last_ping: float | None = None
    strikes: int = 0
    _sent_at_ping: int = 0
    #: How many WINDOW_UPDATEs it may still send, by the frames that had gone out when this was set.
    updates: int = 0
    _sent_at_update: int = 0

    def ping(self, now: float, interval: float, sent: int) -> bool:
        """A PING has come. Returns whether the peer may go on, which after too many strikes it may not."""
        if self.is_clear(sent):
            self._sent_at_ping = sent
            self.strikes = 0
        elif self.last_ping is not None and now - self.last_ping < interval:
            self.strikes += 1
        self.last_ping = now
        return self.strikes <= _MAX_STRIKES

    def is_clear(self, sent: int) -> bool:
        """Whether something has been sent since the last PING, which clears all strikes."""
        return sent != self._sent_at_ping

    def earned(self, sent: int) -> int:
        """How many WINDOW_UPDATEs it may send, counting all frames that have been sent."""
        return min(self.updates + _UPDATES_PER_FRAME * (sent - self._sent_at_update), _MAX_UPDATES)

    def earn(self, sent: int) -> bool:
        """A WINDOW_UPDATE has come, and ``updates`` is 0. Returns whether frames since have earned it."""
        earned = self.earned(sent)
        if not earned:
            return False
        self.updates = earned - 1
        self._sent_at_update = sent
        return True

    def __repr__(self) -> str:
        return f"<Allowance {self.strikes} strikes, {self.updates} free updates>"
