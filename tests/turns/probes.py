"""All that the model knows of the hub's insides. What is renamed there is renamed here, and nowhere else."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import gevent

import actorrpc.hub.actors.sinks
from actorrpc.app import App
from actorrpc.config import Config
from actorrpc.hub.node import Node
from actorrpc.hub.phase import FROZEN
from actorrpc.net.peers import Remote

__all__ = [
    "accept",
    "connections",
    "count_all",
    "leftovers",
    "miscounted",
    "nodes_of",
    "queues",
    "topic_room",
    "turns_of",
]


def nodes_of(app: App, config: Config, count: int, on_moved: Any, move_every: int) -> list[Node]:
    """Hubs that are joined by links."""
    nodes = [Node(app, config, hub=hub, on_moved=on_moved, move_every=move_every) for hub in range(count)]
    for left in range(count):
        for right in range(left):
            ends = socket.socketpair()
            nodes[left].add_peer(right, ends[0], right)
            nodes[right].add_peer(left, ends[1], left)
    for node in nodes:
        node.set_homes(range(count), 1)
    return nodes


def accept(node: Node, sock: socket.socket, peer: str) -> Any:
    """Give a node a client's connection."""
    before = set(node.connections)
    sock.setblocking(False)
    node._accept(sock, Remote(peer))
    (id,) = set(node.connections) - before
    return node.connections[id]


def connections(nodes: list[Node]) -> dict[str, tuple[Node, Any]]:
    """Each connection by its id, with the node that has it."""
    return {id: (node, each) for node in nodes for id, each in node.connections.items()}


def turns_of(nodes: list[Node]) -> int:
    """Turns that ran, as they are counted."""
    return sum(node.resources.turns for node in nodes)


def topic_room(turns: int) -> None:
    """How many turns may wait in a mailbox before topics wait at their homes."""
    actorrpc.hub.actors.sinks.MAX_WAITING = turns


def count_all(nodes: list[Node]) -> None:
    """Count the smallest message that a handler holds."""
    for node in nodes:
        for route in node.resources.routes.values():
            route.light = -1


def miscounted(node: Node) -> Iterator[str]:
    """Where what is counted for handlers is not what they hold."""
    known = [*node.connections.values(), *node._finishing]
    total = sum(each.parsed for each in known)
    if node.resources.parsed.held < total or min([0, *(each.parsed for each in known)]) < 0:
        yield f"{node.resources.parsed.held} bytes in {node}, where its connections have {total}"
    for connection in known:
        for call in connection.calls.values():
            if call.runner is not None or connection.phase.state == FROZEN:
                continue
            holds = call.origin is not None and call.origin[1] is not None
            if bool(call.parsed) != holds:
                yield f"{call.parsed} bytes for {call}, which holds {call.origin}"


def queues(connection: Any) -> Iterator[tuple[str, int]]:
    """The length of each list and deque that a connection, its cells and its calls have."""
    admission = [connection.cells.admission] if connection.cells.admission is not None else []
    for each in [
        connection,
        connection.schedule,
        *admission,
        *connection.cells.values(),
        *connection.calls.values(),
    ]:
        for kind in type(each).__mro__:
            for name in getattr(kind, "__slots__", ()):
                value = getattr(each, name, None)
                if isinstance(value, (list, deque)):
                    yield f"{type(each).__name__}.{name}", len(value)


def leftovers(node: Node) -> Iterator[str]:
    """What should not be there when all clients have got what they wanted, and nothing runs."""
    for connection in node.connections.values():
        if connection.calls:
            yield f"open calls {list(connection.calls.values())} of {connection}"
        if connection.session.streams:
            yield f"open streams {list(connection.session.streams)} of {connection}"
        if connection.schedule.running:
            yield f"{connection.schedule.running} running in {connection}"
        # An actor whose first message never came is not made yet: that may wait.
        unmade = sum(not cell.connected for cell in connection.cells.values())
        for name, length in queues(connection):
            if name == "Cell.mailbox":
                unmade, length = max(0, unmade - length), max(0, length - unmade)
            if length:
                yield f"{length} in {name} of {connection}"
    if node.mover.handoffs:
        yield f"{node.mover.handoffs!r} of {node}"
    if node._finishing:
        yield f"{node._finishing} of {node}"
    if node.resources.parsed.held:
        yield f"{node.resources.parsed.held} bytes counted in {node}, where no handler holds any"


def loop_errors(found: list[BaseException]) -> Any:
    """Collect what is raised in the loop's callbacks; returns what undoes that."""
    hub: Any = gevent.get_hub()
    before = hub.handle_error

    def record(context: Any, type: Any, value: Any, tb: Any) -> None:
        found.append(value if isinstance(value, BaseException) else type(value))

    hub.handle_error = record

    def undo() -> None:
        hub.handle_error = before

    return undo
