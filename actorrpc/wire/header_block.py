"""A header block in several frames: HEADERS, and as many CONTINUATION as it takes (RFC 9113, 4.3). One that
is in a single frame is decoded in ``session``.

A block that is over the limit cannot be skipped, since the HPACK table depends on it. So it is decoded too,
in parts, and has its price; and a block without end ends the connection.
"""

from __future__ import annotations

from collections.abc import Callable

from actorrpc.errors import ConnectionFault
from actorrpc.wire.fields import list_size
from actorrpc.wire.flood import Price, block_price
from actorrpc.wire.frames import MAX_FRAME_SIZE, ErrorCode
from actorrpc.wire.hpack import Decoder, Field

__all__ = ["HeaderBlock"]

#: A header block may have so many bytes, or as many as ``max_header_list_bytes`` needs, and so many fields.
#: (A string has at most 8/5 of the bytes of its Huffman code, and what comes from a table is not copied: so
#: the number of fields bounds the memory of a decoded block.)
_MAX_BLOCK = 1024 * 1024
_MAX_FIELDS = 65_536


class HeaderBlock:
    """A header block that has begun. ``limit`` is our SETTINGS_MAX_HEADER_LIST_SIZE."""

    __slots__ = ("_limit", "data", "end_stream", "stream")

    def __init__(self, stream: int, end_stream: bool, data: bytes, limit: int) -> None:
        self.stream = stream
        #: Whether the HEADERS had END_STREAM.
        self.end_stream = end_stream
        self.data = bytearray(data)
        self._limit = limit

    def add(self, payload: bytes) -> None:
        """Take a CONTINUATION's payload. Raises ConnectionFault for a block that has become too long."""
        self.data += payload  # in place: a client may send it byte by byte
        if len(self.data) > max(_MAX_BLOCK, self._limit + MAX_FRAME_SIZE):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block over the limit")

    def decode(self, decoder: Decoder, waste: Callable[[int], None]) -> tuple[tuple[Field, ...], int, int]:
        """The fields of the whole block, 0, and its price; or some of them, and the size of all.

        Of a block so large that its list is over the limit in any usual coding, no more is kept than the
        limit allows, and it is paid for at once, by way of ``waste``.
        """
        block = bytes(self.data)
        large = len(block) > self._limit + MAX_FRAME_SIZE
        if large:
            waste(len(block) // Price.OVERSIZE_BYTES)
        kept: list[Field] = []
        size = count = work = 0
        for fields, length in decoder.decode_parts(block):
            count += len(fields)
            if count > _MAX_FIELDS:
                raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block of too many fields")
            work += block_price(len(fields), length, decoder.coded)
            if large:
                waste(work)
                work = 0
            size += list_size(fields)
            if not large or size <= self._limit or not kept:
                kept += fields
        return tuple(kept), size if large and size > self._limit else 0, work
