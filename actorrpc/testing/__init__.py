"""For the tests of apps: a server in a thread whose connections move when a test wants, and actors by hand.

    with actorrpc.testing.serve(app) as server: ...     real clients, real moves, on Linux
    room = actorrpc.testing.actor(Room)                 no server: handlers are called as plain methods
    pytest_plugins = ["actorrpc.testing.fixtures"]      the same for pytest

docs/guide/testing.md tells which is for what. In a program that gevent is to patch, patch before this is
imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import actorrpc.supported as _supported
from actorrpc.testing.actors import actor, published, subscriptions
from actorrpc.testing.calls import RecordedCall, call
from actorrpc.testing.recorder import Publication, Subscription

if TYPE_CHECKING:
    from actorrpc.testing.server import Actor, Connection, NotMoved, Serve, Server, Stuck, serve

__all__ = [
    "Actor",
    "Connection",
    "NotMoved",
    "Publication",
    "RecordedCall",
    "Serve",
    "Server",
    "Stuck",
    "Subscription",
    "actor",
    "call",
    "published",
    "serve",
    "subscriptions",
]

#: What works on Linux only.
_SERVING = ("Actor", "Connection", "NotMoved", "Serve", "Server", "Stuck", "serve")


def __getattr__(name: str) -> Any:
    if name not in _SERVING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _supported.system_complaint():
        raise ImportError(_supported.system_complaint())
    return getattr(import_module("actorrpc.testing.server"), name)
