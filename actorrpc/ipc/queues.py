"""The numbers of queues, by which broker and hubs know them: address and hub in one. Of the first address
they are those of the hubs.

An address that is shared has one queue, the one of hub 0.
"""

from __future__ import annotations

__all__ = ["address_of", "hub_of", "queue_of", "queue_text"]

#: There are fewer hubs.
_STEP = 65_536


def queue_of(address: int, hub: int = 0) -> int:
    """The queue of a hub at an address, by the address's number."""
    return address * _STEP + hub


def address_of(queue: int) -> int:
    """The number of the address that a queue is of."""
    return queue // _STEP


def hub_of(queue: int) -> int:
    """The hub that a queue is of."""
    return queue % _STEP


def queue_text(queue: int) -> str:
    """For people: ``2``, or ``2 of address 1``."""
    address = address_of(queue)
    return f"{hub_of(queue)} of address {address}" if address else str(queue)
