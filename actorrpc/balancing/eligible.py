"""Which connections may move, and which hubs may take one, under any policy."""

from __future__ import annotations

from collections.abc import Iterator

from actorrpc.balancing.view import ConnectionLoad, HubLoad, View

__all__ = ["STALE", "known", "movable", "takes"]

#: Seconds after which a report no longer says anything: hubs report four times a second.
STALE = 2.0


def known(view: View) -> list[HubLoad]:
    """The hubs that serve and have reported lately, by number."""
    loads = view.loads
    return [
        load for hub in sorted(loads) if (load := loads[hub]).serving and load.stale <= STALE
    ]  # fmt: skip


def takes(load: HubLoad, coming: int = 0) -> bool:
    """Whether a hub may take one more, when ``coming`` are on their way to it."""
    return load.serving and load.stale <= STALE and (load.room is None or load.room > coming)


def movable(load: HubLoad, view: View) -> Iterator[ConnectionLoad]:
    """The connections of a hub that may move now, each once: the heaviest as reported, then the others."""
    seen = set(view.history.in_flight)
    for named in (load.heaviest, load.others):
        for connection in named:
            if not connection.why and connection.id not in seen:
                seen.add(connection.id)
                yield connection
