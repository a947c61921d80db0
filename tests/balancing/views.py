"""Views for the tests of policies: a few words make a hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any

from actorrpc.balancing.view import ConnectionLoad, History, HubLoad, Move, Policy, Stay, View


def connection(id: str, load: float, **more: Any) -> ConnectionLoad:
    return ConnectionLoad(id, load, more.pop("recent", load), **{"age": 600.0, **more})


def hub(number: int, *loads: float | ConnectionLoad, busy: float | None = None, **more: Any) -> HubLoad:
    """A hub with these connections; numbers get the ids ``number-at``. It is as busy as they make it."""
    named = [
        each if isinstance(each, ConnectionLoad) else connection(f"{number}-{at}", each)
        for at, each in enumerate(loads)
    ]
    level = min(1.0, fsum(each.load for each in named)) if busy is None else busy
    return HubLoad(number, level, more.pop("connections", len(named)), named, **more)


def view(*hubs: HubLoad, now: float = 100.0, history: History | None = None) -> View:
    return View(now, {each.hub: each for each in hubs}, history or History())


def moves(decided: Iterable[Move | Stay]) -> list[tuple[str, int, int]]:
    return [(each.connection, each.source, each.target) for each in decided if isinstance(each, Move)]


def stays(decided: Iterable[Move | Stay]) -> Mapping[str, str]:
    return {each.what: each.reason for each in decided if isinstance(each, Stay)}


def plan(
    policy: Policy, *hubs: HubLoad, now: float = 100.0, history: History | None = None
) -> list[Move | Stay]:
    return list(policy.plan(view(*hubs, now=now, history=history)))
