"""What a record may hold, how long a key is used, and what a peer pays for records that bring nothing."""

from __future__ import annotations

__all__ = [
    "MAX_CIPHERTEXT",
    "MAX_CONTENT",
    "MAX_EPOCH",
    "MAX_IDLE_UPDATES",
    "RECORDS_PER_KEY",
    "Price",
]

#: Bytes of content in a record (RFC 9846, 5.1), with which its padding counts (5.4), unless both sides have
#: agreed on less (RFC 6066, 4); and of a record that is sealed, by any cipher (RFC 9846, 5.2).
MAX_CONTENT = 1 << 14
MAX_CIPHERTEXT = MAX_CONTENT + 256

#: A key seals at most so many records, of which the last one is the KeyUpdate. AES-GCM allows 2^24.5 full
#: ones (RFC 9846, 5.5). The peer's key is not limited here, but after so many we ask the peer for another.
RECORDS_PER_KEY = (1 << 24) - 1

#: A side may change its keys so often (RFC 9846, 4.7.3).
MAX_EPOCH = (1 << 48) - 1

#: So many KeyUpdates may come without data between them.
MAX_IDLE_UPDATES = 32


class Price:
    """What records cost that are cheap to send, in units of the flood budget (``actorrpc.wire.flood``)."""

    #: A record whose content is shorter than any HTTP/2 frame (``SMALL``): no data, or a fragment of it.
    RECORD = 3
    SMALL = 9
    #: KeyUpdate, beside the price of its record: three times HKDF, and a new cipher.
    KEY_UPDATE = 25
    #: So many bytes of padding cost one unit.
    PADDING = 512
