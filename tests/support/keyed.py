"""What tests of keyed actors share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from actorrpc.app import App
from actorrpc.hub.node import Node
from actorrpc.pb import control_pb2
from tests.apps.rooms_actorrpc import RoomStub
from tests.support.hubs import Hubs, serving

__all__ = ["PATIENCE", "home", "move", "rooms", "where"]

#: For calls that are to be answered, in seconds.
PATIENCE = 30.0


@contextmanager
def rooms(app: App, count: int = 1, **config: Any) -> Iterator[tuple[Hubs, RoomStub]]:
    """So many hubs, and a stub on a client's connection to the first."""
    with serving(app, count, **config) as hubs, grpc.insecure_channel(hubs.address) as channel:
        yield hubs, RoomStub(channel)


def where(hubs: Hubs, id: str) -> list[int]:
    """The hubs where an actor is, which should be one, or none."""
    return hubs.ask(lambda: [node.hub for node in hubs.nodes if id in node.actors.by_id])


def home(hubs: Hubs, id: str) -> Node:
    """The hub that has an actor."""
    (hub,) = where(hubs, id)
    return hubs.nodes[hub]


def move(hubs: Hubs, id: str, target: int) -> control_pb2.MoveResult:
    """Move an actor, or a connection, to a hub, and wait for the outcome."""
    results: list[control_pb2.MoveResult] = []

    def begin() -> None:
        node = next(node for node in hubs.nodes if id in node.stages)
        node.mover.move(id, target, results.append)

    hubs.ask(begin)
    return hubs.wait_for(lambda: results)[0]
