"""Several hubs in one gevent loop, joined by links as those in processes are: moves take the real way.

All of it is called in the loop; what waits says so, and is for a greenlet.
"""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory

import gevent
from gevent.event import AsyncResult, Event

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.node import Node
from actorrpc.hub.serving.connection import Connection
from actorrpc.ipc.directory_files import JOURNAL
from actorrpc.pb import control_pb2

__all__ = ["Hubs"]

#: Between two looks at where a connection is that is on its way: the other hub hears of it at once.
_LOOK = 0.001


class Hubs:
    """``count`` hubs that know each other. They listen on nothing yet."""

    def __init__(self, app: App, config: Config, count: int, *, move_every: int = 0) -> None:
        #: What has come of moves, as the broker would be told.
        self.moved: list[control_pb2.Moved] = []
        keyed = any(service.__rpc__.keyed is not None for service in app.services.values())
        #: Where they have their directory of keyed actors, if they need one.
        self._files = _make_files() if keyed and count > 1 else None
        server = token_bytes(16)
        self.nodes = [
            Node(
                app,
                config,
                hub=hub,
                on_moved=self.moved.append,
                move_every=move_every,
                directory=None if self._files is None else self._files.name,
                server=server,
            )
            for hub in range(count)
        ]
        for left in range(count):
            for right in range(left):
                ends = socket.socketpair()
                self.nodes[left].add_peer(right, ends[0], right)
                self.nodes[right].add_peer(left, ends[1], left)
        for node in self.nodes:
            node.set_homes(range(count), 1)
            if self._files is not None:
                node.set_directory(1, range(count))

    def connections(self) -> list[tuple[Node, Connection]]:
        """Those that are on a hub now, in the order of their hubs."""
        return [(node, connection) for node in self.nodes for connection in node.connections.values()]

    def settled(self) -> list[tuple[Node, Connection]]:
        """The same when none is on its way; waits for that."""
        while self._on_their_way():
            gevent.sleep(_LOOK)
        return self.connections()

    def move(self, connection: str, target: int | None = None) -> control_pb2.MoveResult:
        """Move a connection to a hub, by default the next one, and wait until it is there, or stays."""
        node = self._node_of(connection)
        if node is None:
            return control_pb2.MoveResult(
                outcome=control_pb2.MoveResult.UNKNOWN_CONNECTION, why=f"no connection {connection}"
            )
        if target is None:
            target = (node.hub + 1) % len(self.nodes)
        if target not in range(len(self.nodes)):
            return control_pb2.MoveResult(
                outcome=control_pb2.MoveResult.UNKNOWN_HUB, why=f"hub {target} is not there"
            )
        result: AsyncResult[control_pb2.MoveResult] = AsyncResult()
        node.mover.move(connection, target, result.set)
        outcome = result.get()
        assert outcome is not None
        self._node_of(connection)
        return outcome

    def _node_of(self, connection: str) -> Node | None:
        """The hub that serves it, once it is not on its way; None: it has ended."""
        while connection in self._on_their_way():
            gevent.sleep(_LOOK)
        return next((node for node in self.nodes if connection in node.connections), None)

    def _on_their_way(self) -> set[str]:
        leaving = [id for node in self.nodes for id in node.mover.handoffs.sources]
        arriving = [target.id for node in self.nodes for target in node.mover.handoffs.targets.values()]
        return {*leaving, *arriving}

    def stop(self, drain_timeout: float) -> None:
        """Stop them all, and wait for it. What holds out longer than a hub's process would live is closed."""
        ended = {node: Event() for node in self.nodes}

        def end(node: Node) -> None:
            ended[node].set()
            left = [each for each in self.nodes if not ended[each].is_set()]
            for each in left:  # what is published while the app stops needs a home
                each.set_homes([other.hub for other in left], len(self.nodes) - len(left) + 1)

        for node in self.nodes:
            node.stop(drain_timeout, partial(end, node))
        for event in ended.values():
            event.wait()
        self.close()

    def close(self) -> None:
        """Close all that is left."""
        for _, connection in self.connections():
            connection.close("the server has stopped")
        for node in self.nodes:
            node.close()
        self.remove_files()

    def remove_files(self) -> None:
        """They have all been closed."""
        if self._files is not None:
            self._files.cleanup()

    def __repr__(self) -> str:
        return f"<Hubs {self.nodes!r}>"


def _make_files() -> TemporaryDirectory[str]:
    files = TemporaryDirectory(prefix="actorrpc-directory-")
    Path(files.name, JOURNAL).touch()
    return files
