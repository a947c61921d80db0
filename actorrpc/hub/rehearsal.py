"""What a hub does when it hears that a connection is about to come: it receives one that does not exist.

A hub that has served other things, or nothing, for some milliseconds has little of the code for arrivals in
its core's caches, and what takes 40 µs then takes 300, for which the client waits. So the hub goes through it
once while the source still freezes.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from actorrpc.actor import Actor
from actorrpc.app import App
from actorrpc.call import Call
from actorrpc.hub.metering import Meter
from actorrpc.hub.travel import FORMAT, Arrival, thaw
from actorrpc.pb import control_pb2, snapshot_pb2
from actorrpc.service import Method, ServiceSpec

if TYPE_CHECKING:
    from actorrpc.hub.connection import Connection
    from actorrpc.hub.node import Node

__all__ = ["Rehearsal"]

#: After a rehearsal, or an arrival, the next one is not worth its time for so many seconds.
WARM = 0.002

_WINDOW = 65_535


class _Nobody(Actor[control_pb2.Moved]):
    """An actor as any, on which nothing depends."""

    __rpc__ = ServiceSpec(
        "actorrpc.Nobody",
        (Method("Say", control_pb2.Move, control_pb2.Move, client_streaming=True, server_streaming=True),),
        state=control_pb2.Moved,
    )

    def Say(self, message: control_pb2.Move, call: Call[control_pb2.Move]) -> None:
        call.send(message)

    def Say_end(self, call: Call[control_pb2.Move]) -> None:
        """Nobody says when it is over."""


#: As grpcio's.
_HEADERS = {
    ":scheme": "http",
    ":method": "POST",
    ":authority": "127.0.0.1:50051",
    ":path": "/actorrpc.Nobody/Say",
    "te": "trailers",
    "content-type": "application/grpc",
    "user-agent": "grpc-python/1.66.2 grpc-c/43.0.0 (linux; chttp2)",
    "grpc-accept-encoding": "identity, deflate, gzip",
}


class Rehearsal:
    """Arrivals of nobody. They touch no connection, and no code of the app's."""

    def __init__(self, node: Node) -> None:
        self._stage: Any = _Stage(node)
        self._snapshot = _snapshot()
        #: When the last arrival was, or the last rehearsal of one.
        self.last = 0.0

    def __call__(self) -> None:
        """Receive nobody, unless what it takes has been done just now."""
        now = monotonic()
        if now - self.last < WARM:
            return
        self.last = now
        # No further: with a socket and a turn it takes longer than the freeze, and the offer waits for it.
        Arrival(thaw(self._stage, self._snapshot)).discard()

    def __repr__(self) -> str:
        return f"<Rehearsal, the last {monotonic() - self.last:.3f} s ago>"


class _Stage:
    """What a connection needs of its node. Nobody sees it."""

    def __init__(self, node: Node) -> None:
        self.app = App([_Nobody])
        self.routes = self.app.routes
        self.call_type = node.call_type
        self.config = node.config
        self.runners = node.runners
        #: Nobody's: what a rehearsal takes is charged to no connection.
        self.meter = Meter()

    def forget(self, connection: Connection, *, finished: bool = True) -> None:
        pass


def _snapshot() -> bytes:
    """A connection with one open call."""
    headers = [text for field in _HEADERS.items() for text in field]
    stream = snapshot_pb2.StreamSnapshot(
        id=1, headers=headers, send_window=_WINDOW, receive_window=_WINDOW, window=_WINDOW
    )
    session = snapshot_pb2.SessionSnapshot(
        settings_received=True,
        hpack_entries=headers,
        hpack_max_size=4096,
        send_window=_WINDOW,
        receive_window=_WINDOW,
        window=_WINDOW,
        peer_initial_window=_WINDOW,
        peer_max_frame_size=16_384,
        last_stream=1,
        streams=[stream],
    )
    return snapshot_pb2.ConnectionSnapshot(
        format=FORMAT,
        session=session,
        calls=[snapshot_pb2.CallSnapshot(stream=1)],
        actors=[
            snapshot_pb2.ActorSnapshot(
                service=_Nobody.__rpc__.name, state=b"", state_version=1, connected=True
            )
        ],
    ).SerializeToString()
