"""Several hubs in one gevent loop, joined by links as those in processes are: moves take the real way.

All of it is called in the loop; what waits says so, and is for a greenlet.
"""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from time import monotonic

import gevent
from gevent.event import AsyncResult, Event

from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.moving.obstacles import what_runs
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
        server, secret = token_bytes(16), token_bytes(32)
        #: Which homes of topics and keyed actors they have been told of last, as a broker counts.
        self._version = 0
        self._slots = count
        #: Those that live. A hub keeps its number when others have been killed.
        self.nodes = [
            Node(
                app,
                config,
                hub=hub,
                on_moved=self.moved.append,
                move_every=move_every,
                directory=None if self._files is None else self._files.name,
                server=server,
                secret=secret,
            )
            for hub in range(count)
        ]
        for left in range(count):
            for right in range(left):
                ends = socket.socketpair()
                self.nodes[left].add_peer(right, ends[0], right)
                self.nodes[right].add_peer(left, ends[1], left)
        self._tell_homes()

    def _tell_homes(self) -> None:
        """As many slots as there were hubs at first: those of the dead get other homes."""
        self._version += 1
        living = [node.hub for node in self.nodes]
        homes = [slot if slot in living else living[slot % len(living)] for slot in range(self._slots)]
        for node in self.nodes:
            node.set_homes(homes, self._version)
            if self._files is not None:
                node.set_directory(self._version, homes)

    def connections(self) -> list[tuple[Node, Connection]]:
        """Those that are on a hub now, in the order of their hubs."""
        return [(node, connection) for node in self.nodes for connection in node.connections.values()]

    def settled(self) -> list[tuple[Node, Connection]]:
        """The same when none is on its way; waits for that."""
        self._until_none_moves()
        return self.connections()

    def settled_actors(self) -> list[tuple[Node, Activation]]:
        """The keyed actors that are active when none is on its way, and where; waits for that."""
        self._until_none_moves()
        return [(node, each) for node in self.nodes for each in node.actors.by_id.values()]

    def _until_none_moves(self) -> None:
        while self._on_their_way():
            gevent.sleep(_LOOK)

    def move(self, id: str, target: int | None = None) -> control_pb2.MoveResult:
        """Move a connection, or a keyed actor, to a hub, by default the next one, and wait until it is there,
        or stays."""
        node = self._node_of(id)
        if node is None:
            what = "actor" if "/" in id else "connection"
            return control_pb2.MoveResult(
                outcome=control_pb2.MoveResult.UNKNOWN_CONNECTION, why=f"no {what} {id}"
            )
        hubs = [each.hub for each in self.nodes]
        if target is None:
            target = next((hub for hub in hubs if hub > node.hub), hubs[0])
        if target not in hubs:
            return control_pb2.MoveResult(
                outcome=control_pb2.MoveResult.UNKNOWN_HUB, why=f"hub {target} is not there"
            )
        result: AsyncResult[control_pb2.MoveResult] = AsyncResult()
        node.mover.move(id, target, result.set)
        outcome = result.get()
        assert outcome is not None
        self._node_of(id)
        return outcome

    def _node_of(self, id: str) -> Node | None:
        """The hub that has it, once it is not on its way; None: it has ended."""
        while id in self._on_their_way():
            gevent.sleep(_LOOK)
        return next((node for node in self.nodes if id in node.stages), None)

    def _on_their_way(self) -> set[str]:
        leaving = [id for node in self.nodes for id in node.mover.handoffs.sources]
        arriving = [target.id for node in self.nodes for target in node.mover.handoffs.targets.values()]
        return {*leaving, *arriving}

    def kill(self, node: Node) -> str:
        """End a hub as SIGKILL ends a process, as far as the others and the clients can see, and wait until
        the others have seen it. Returns "", or what it has to wait for in vain: see ``_when_quiet``.

        It says nothing more: what it has not sent is lost. Its sockets are closed, its states dropped, no
        hook runs, and its lock is given up, by which the others know. They are told of other homes, as by a
        broker.
        """
        if why := self._when_quiet(node):
            return why
        self.nodes.remove(node)
        node.links.close()  # before all else, so that others hear nothing of the rest
        for stage in [*node.stages.values()]:
            stage.let_go()
        node.close()
        self._tell_homes()
        while any(node.serial in each.links.by_serial for each in self.nodes):
            gevent.sleep(_LOOK)
        return ""

    def _when_quiet(self, node: Node) -> str:
        """Wait until nothing moves and no turn runs in a hub: it cannot be cut off in the middle. Returns
        what runs if that does not end within the quiesce timeout."""
        until = monotonic() + node.resources.config.quiesce_timeout
        while self._on_their_way() or (what := _busy(node)):
            if monotonic() > until:
                return what if not self._on_their_way() else "a move is under way"
            gevent.sleep(_LOOK)
        return ""

    def stop(self, drain_timeout: float) -> None:
        """Stop them all, and wait for it. What holds out longer than a hub's process would live is closed."""
        ended = {node: Event() for node in self.nodes}

        def end(node: Node) -> None:
            ended[node].set()
            left = [each for each in self.nodes if not ended[each].is_set()]
            self._version += 1
            for each in left:  # what is published while the app stops needs a home
                each.set_homes([other.hub for other in left], self._version)

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


def _busy(node: Node) -> str:
    """What runs in a hub; "" if nothing does."""
    stages: list[CallStage] = [*node.stages.values(), *node.closing]
    for stage in stages:
        if stage.schedule.running:
            runs = what_runs(stage)
            return f"{runs[0] if runs else 'a turn'} of {stage.id} runs"
    return ""


def _make_files() -> TemporaryDirectory[str]:
    files = TemporaryDirectory(prefix="actorrpc-directory-")
    Path(files.name, JOURNAL).touch()
    return files
