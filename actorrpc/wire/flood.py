"""The flood budget: how much work that serves no call one client may cause.

Some frames are legal and cheap to send, and serve no call: PING, SETTINGS, PRIORITY, empty DATA, a request
that is reset at once (CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2025-8671), a request that is refused. Each
has a price in units. A unit is a microsecond of the hub's time, or less, including turns that come to
nothing. The budget is a token bucket: it holds ``burst`` units and regains ``rate`` units a second. A
connection that has used it up ends with ENHANCE_YOUR_CALM.

It has no clock: its owner says what time it is. It moves with its connection, so that a move does not fill
the bucket again.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FloodBudget", "Price", "block_price"]

#: The bucket is looked at each time that so many units have come together, and not for each frame.
STEP = 1000


class Price:
    """What frames cost, in units."""

    #: For those that are more than a few for each frame that we have sent.
    WINDOW_UPDATE = 2
    #: Frames that do nothing: PRIORITY, unknown types, DATA without data, anything for a closed stream.
    EMPTY = 2
    CONTINUATION = 5
    PING = 5
    SETTINGS = 10
    #: DATA of fewer than ``SMALL`` bytes that completes neither a message nor its prefix: a client may send a
    #: message byte by byte.
    FRAGMENT = 1
    #: Nor does a frame of ours that a window has cut to fewer bytes earn the client WINDOW_UPDATEs.
    SMALL = 64
    #: A stream that the client reset, or made us reset (RST_STREAM), or began beyond the limit; if no handler
    #: has had the call, its header blocks cost extra.
    RESET = 50
    #: A call that is answered before a handler has had it; its header blocks cost extra.
    REFUSED = 10
    #: So many bytes of Huffman code in a header block cost one unit (see ``block_price``).
    CODED_BYTES = 6
    #: A call that is served has header blocks of this price for nothing, and pays for the rest.
    SERVED_BLOCK = 400
    #: So many bytes of a header block that is over the limit cost one unit more.
    OVERSIZE_BYTES = 16
    #: When a message is decompressed to more than ``RATIO`` times its size, so many bytes of what is beyond
    #: that cost one unit, and all of them at most ``INFLATED``: each takes 2 ns to make and up to 35 to
    #: parse, but a few such messages may be what the app wants. If the result is not a message, the bytes up
    #: to ``RATIO`` cost as much.
    INFLATED_BYTES = 128
    RATIO = 64
    INFLATED = 20_000


def block_price(fields: int, size: int, coded: int) -> int:
    """The price of decoding and checking a header block of so many fields and bytes, ``coded`` of them
    Huffman code. It depends on this block alone, and not on what was decoded before.

    A microsecond goes for each field that is a literal, which has four bytes or more; for four fields from a
    table; for six bytes of Huffman code, or six table size updates; and for 512 bytes of anything else.
    """
    return min(fields, size >> 2) + (fields >> 2) + coded // Price.CODED_BYTES + (size >> 9)


@dataclass(slots=True, eq=False, repr=False)
class FloodBudget:
    """The budget of one connection. ``burst`` 0: there is no limit."""

    burst: int
    rate: int
    #: Units used, of ``burst``.
    spent: float = 0.0
    #: Units used since ``settle`` was last called.
    unsettled: int = 0
    _settled: float | None = None

    def inflated(self, size: int) -> None:
        """Charge for so many bytes of a decompressed message (``Price.INFLATED_BYTES``)."""
        if size > 0:
            self.unsettled += min(size // Price.INFLATED_BYTES, Price.INFLATED)

    def settle(self, now: float) -> bool:
        """Refill the bucket, and take out what was used. Returns whether there was as much in it."""
        self.spent = self.level(now) + self.unsettled
        self.unsettled = 0
        self._settled = now
        return not self.burst or self.spent <= self.burst

    def level(self, now: float) -> float:
        """How much of ``spent`` has not flowed in again; without what is not settled."""
        if self._settled is None:
            return self.spent
        return max(0.0, self.spent - (now - self._settled) * self.rate)

    def restore(self, spent: float, unsettled: int, now: float) -> None:
        """Go on where another process stopped, with its ``level`` and ``unsettled``."""
        self.spent = spent
        self.unsettled = unsettled
        self._settled = now

    def __repr__(self) -> str:
        return f"<FloodBudget {self.spent + self.unsettled:.0f} of {self.burst} units spent>"
