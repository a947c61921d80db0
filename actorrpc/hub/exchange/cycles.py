"""Circles of calls, which are seen where they close."""

from __future__ import annotations

__all__ = ["why_circular"]


def why_circular(actor: str, waiting: tuple[str, ...]) -> str:
    """Why a call has come in vain into an actor that waits for it, with the others; "" if it does not."""
    if actor not in waiting:
        return ""
    way = " -> ".join([*waiting[waiting.index(actor) :], actor])
    return (
        f"the call comes back to an actor that waits for it: {way}. Make the method @actorrpc.concurrent, or "
        "do not wait: tell, or use a future"
    )
