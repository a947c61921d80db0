"""What a peer may send only in measure: PINGs (gRFC A8), and WINDOW_UPDATEs.

Both are reckoned by the frames that it has been sent: a peer that is sent something may ask again whether we
live, and has windows to open for it.
"""

from __future__ import annotations

from actorrpc.config import Config

__all__ = ["KEEPALIVE_PING", "Allowance", "ping_interval"]

#: What our own PINGs say: nothing.
KEEPALIVE_PING = b"actorrpc"

#: PINGs that came too early, before the peer must go; and how often it may send them while no call is open.
_MAX_STRIKES = 2
_INTERVAL_WITHOUT_CALLS = 7200.0

#: A peer may open windows so often for each frame that it was sent, and have so many of them in store.
_UPDATES_PER_FRAME = 4
_MAX_UPDATES = 10_000


def ping_interval(config: Config, calls: bool) -> float:
    """The seconds that must lie between two PINGs, where ``calls`` are open or are not."""
    interval = config.permit_keepalive_time
    if interval and not calls and not config.permit_keepalive_without_calls:
        interval = max(interval, _INTERVAL_WITHOUT_CALLS)
    return interval


class Allowance:
    """What one peer may still send. ``sent`` is how many frames of HEADERS or DATA have gone to it so far."""

    __slots__ = ("_sent_at_ping", "_sent_at_update", "last_ping", "strikes", "updates")

    def __init__(self) -> None:
        #: When its last PING came, and how many came too early.
        self.last_ping: float | None = None
        self.strikes = 0
        self._sent_at_ping = 0
        #: WINDOW_UPDATEs that cost nothing, for the frames that had been sent at the last one that did.
        self.updates = 0
        self._sent_at_update = 0

    def ping(self, now: float, interval: float, sent: int) -> bool:
        """A PING has come. Whether the peer may go on; after too many strikes it may not."""
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
        """How many WINDOW_UPDATEs cost nothing: a few for each frame that has been sent."""
        return min(self.updates + _UPDATES_PER_FRAME * (sent - self._sent_at_update), _MAX_UPDATES)

    def earn(self, sent: int) -> bool:
        """A WINDOW_UPDATE has come, and ``updates`` are used up. Whether it costs nothing, all the same."""
        earned = self.earned(sent)
        if not earned:
            return False
        self.updates = earned - 1
        self._sent_at_update = sent
        return True

    def __repr__(self) -> str:
        return f"<Allowance {self.strikes} strikes, {self.updates} free updates>"
