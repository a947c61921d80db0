"""The states of a connection in its hub. In which order a handoff goes through them: actorrpc.handoff."""

from __future__ import annotations

__all__ = ["CLOSED", "CLOSING", "FROZEN", "QUIESCING", "SERVING"]

SERVING = "serving"
#: It is about to move: no turn starts, and the running ones are waited for.
QUIESCING = "quiescing"
#: Its snapshot has been taken, or it has been made of one: nothing happens to it.
FROZEN = "frozen"
#: The last words are being written.
CLOSING = "closing"
CLOSED = "closed"
