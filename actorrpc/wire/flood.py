"""The flood budget: how much work that serves no call one client may cause.

Some frames are legal and cheap to send, and serve no call: PING, SETTINGS, PRIORITY, empty DATA, a request
that is reset at once (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2025-8671), a request that is refused. Each
has a price in units, and one unit stands for a microsecond of the hub's time, or less, turns that come to
nothing included. The budget is a token bucket: it holds ``burst`` units and regains ``rate`` units a second.
A connection that has used it up ends with ENHANCE_YOUR_CALM.

It knows no clock: its owner says what time it is. It travels with its connection, so that a move gives
nobody a new one.
"""

from __future__ import annotations

__all__ = ["FloodBudget", "Price", "block_price"]

#: The bucket is looked at whenever so much has come together: not for each frame.
STEP = 1000


class Price:
    """What frames cost, in units."""

    #: Beyond a few for each frame that the client was sent; it may have a few bytes sent.
    WINDOW_UPDATE = 2
    #: Frames that mean nothing: PRIORITY, unknown types, DATA without data, what is for a closed stream.
    EMPTY = 2
    CONTINUATION = 5
    PING = 5
    SETTINGS = 10
    #: DATA of less than ``SMALL`` bytes that completes neither a message nor its prefix: a client may send it
    #: by the byte.
    FRAGMENT = 1
    #: Of frames that a window has cut to less, none earns the client a WINDOW_UPDATE, either.
    SMALL = 64
    #: A stream that the client reset, or made us reset (RST_STREAM), or began beyond the limit, beside what
    #: its header blocks cost if no handler has had it.
    RESET = 50
    #: A call that is answered before a handler has had it, beside what its header blocks cost.
    REFUSED = 10
    #: So many bytes of Huffman code in a header block cost one unit (see ``block_price``).
    CODED_BYTES = 6
    #: The header blocks of a call that is served cost what is beyond it.
    SERVED_BLOCK = 400
    #: Of a header block over the limit, so many bytes cost one unit, beside the rest.
    OVERSIZE_BYTES = 16
    #: So many bytes that a message comes to when it is decompressed, beyond ``RATIO`` times its own, cost
    #: one unit, and all of them no more than ``INFLATED``: each takes 2 ns to make and up to 35 to parse, but
    #: a few such messages may be what the app wants. Of what is no message, the others cost as much.
    INFLATED_BYTES = 128
    RATIO = 64
    INFLATED = 20_000


def block_price(fields: int, size: int, coded: int) -> int:
    """What it takes to decode and check a header block of so many fields and bytes, ``coded`` of them Huffman
    code: it depends on the block alone, and not on what was decoded before.

    A field takes a microsecond if it is a literal, which has four bytes, and a quarter from a table. Six
    bytes of Huffman code, or table size updates, take one, and 512 bytes of anything else.
    """
    return min(fields, size >> 2) + (fields >> 2) + coded // Price.CODED_BYTES + (size >> 9)


class FloodBudget:
    """The budget of one connection. ``burst`` 0: there is no limit."""

    __slots__ = ("_settled", "burst", "rate", "spent", "unsettled")

    def __init__(self, burst: int, rate: int) -> None:
        self.burst = burst
        self.rate = rate
        #: Units used, of ``burst``.
        self.spent = 0.0
        #: Units used since ``settle`` was last called.
        self.unsettled = 0
        self._settled: float | None = None

    def inflated(self, size: int) -> None:
        """A message has come to so many bytes more than is free (``Price.INFLATED_BYTES``)."""
        if size > 0:
            self.unsettled += min(size // Price.INFLATED_BYTES, Price.INFLATED)

    def settle(self, now: float) -> bool:
        """Take what was used out of the bucket, after what has flowed in. Whether it had so much."""
        self.spent = self.level(now) + self.unsettled
        self.unsettled = 0
        self._settled = now
        return not self.burst or self.spent <= self.burst

    def level(self, now: float) -> float:
        """What of ``spent`` has not flowed in again, without what is not settled."""
        if self._settled is None:
            return self.spent
        return max(0.0, self.spent - (now - self._settled) * self.rate)

    def restore(self, spent: float, unsettled: int, now: float) -> None:
        """Go on where another process stopped: with its ``level`` and ``unsettled``."""
        self.spent = spent
        self.unsettled = unsettled
        self._settled = now

    def __repr__(self) -> str:
        return f"<FloodBudget {self.spent + self.unsettled:.0f} of {self.burst} units spent>"
