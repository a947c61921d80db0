"""The broker of `actorrpc serve`, asked as its command line asks it, without a process for each question."""

from __future__ import annotations

import json
import select
import socket
from collections import deque
from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Any

from actorrpc.ipc.framing import FrameReader, encode
from actorrpc.pb.admin_pb2 import Reply, Request
from benchmarks.processes import BenchmarkError

__all__ = ["BrokerClient"]

#: Nothing that is asked takes this long.
_TIMEOUT = 30.0


class BrokerClient:
    """One connection to the broker's socket. Moves may be asked for without waiting for their ends.

    What the broker or a hub refuses raises BenchmarkError.
    """

    def __init__(self, path: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(_TIMEOUT)
        self._sock.connect(path)
        self._frames = FrameReader()

    def status(self) -> dict[str, Any]:
        self._send(Request(status=Request.Status()))
        return json.loads(self._reply().json)  # type: ignore[no-any-return]

    def connections(self) -> list[dict[str, Any]]:
        """What `actorrpc connections --json` prints."""
        self._send(Request(connections=Request.Connections()))
        return json.loads(self._reply().json)  # type: ignore[no-any-return]

    def actors(self) -> list[dict[str, Any]]:
        """What `actorrpc actors --json` prints."""
        self._send(Request(actors=Request.Actors()))
        return json.loads(self._reply().json)  # type: ignore[no-any-return]

    def rebalance(self, wish: str) -> str:
        """``PAUSE`` or ``RESUME`` the policy's moves, or have it plan ``NOW``."""
        self._send(Request(rebalance=Request.Rebalance(wish=wish)))
        return self._reply().done

    def reload(self) -> None:
        """Begin a reload; ``status`` says how it goes on."""
        self._send(Request(reload=Request.Reload()))
        self._reply()

    def moves(self) -> list[dict[str, Any]]:
        """What `actorrpc moves --json` prints."""
        self._send(Request(moves=Request.Moves(limit=10_000)))
        return json.loads(self._reply().json)  # type: ignore[no-any-return]

    def ask_to_move(self, connection: str, hub: int) -> None:
        """Ask for a move; ``moved`` returns when one of those that were asked for is done."""
        self._send(Request(move=Request.Move(connection=connection, hub=hub)))

    def moved(self) -> str:
        """Wait for the end of a move, and return which connection it was."""
        words = self._reply().done.split()
        match words:
            case ["moved", connection, "to", "hub", _]:
                return connection
            # The broker asks again where an answer is long in coming, and the target's may then come first.
            case [connection, "is", "already", "on", "hub", _]:
                return connection
        raise BenchmarkError(f"not the end of a move: {' '.join(words)}")

    def has_said(self) -> bool:
        """Whether there is something to read."""
        return bool(select.select([self._sock], [], [], 0)[0])

    def move_all(self, connections: Iterable[tuple[str, int]], window: int) -> float:
        """Move each connection to its hub, ``window`` of them at a time. Returns the seconds it took."""
        began = monotonic()
        under_way = 0
        for connection, hub in connections:
            if under_way == window:
                self.moved()
                under_way -= 1
            self.ask_to_move(connection, hub)
            under_way += 1
        for _ in range(under_way):
            self.moved()
        return monotonic() - began

    def shuttle(self, connections: Iterable[tuple[str, int]], moves: int, window: int) -> float:
        """Move connections, given with their hubs, between hubs 0 and 1 in turn, ``moves`` times in all.

        Returns the seconds it took.
        """
        places = dict(connections)
        resting = deque(places)
        began = monotonic()
        for number in range(moves):
            if number >= window:
                resting.append(self.moved())
            connection = resting.popleft()
            places[connection] = 1 - places[connection]
            self.ask_to_move(connection, places[connection])
        for _ in range(min(window, moves)):
            self.moved()
        return monotonic() - began

    def close(self) -> None:
        self._sock.close()

    def _send(self, request: Request) -> None:
        self._sock.sendall(encode(request))

    def _reply(self) -> Reply:
        while (frame := self._frames.next_frame()) is None:
            chunk = self._sock.recv(65536)
            if not chunk:
                raise BenchmarkError("the broker has closed its socket")
            self._frames.receive(chunk)
        reply = Reply.FromString(frame[0])
        if reply.error:
            raise BenchmarkError(reply.error)
        return reply

    def __enter__(self) -> BrokerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
