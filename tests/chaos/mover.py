"""Random moves as fast as wanted, asked of the broker over the socket that `actorrpc move` uses.

Each lane is one command line with one question under way, and has connections of its own: no connection is
asked to move twice at once, and each is asked again only where the last answer has left it.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from actorrpc.framing import FrameReader, encode, request
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["Mover", "Moves"]

#: Command lines at once, of the 16 that a broker takes. With more there are no more moves, only a queue
#: before the hubs, in which all else waits, too.
LANES = 6
#: A broker that answers a question later than this has lost it.
PATIENCE = 60.0


@dataclass
class Moves:
    """What became of them. ``seconds`` are those from question to answer of each."""

    done: Counter[str] = field(default_factory=Counter)
    aborted: Counter[str] = field(default_factory=Counter)
    seconds: array[float] = field(default_factory=lambda: array("f"))
    took: float = 0.0

    @property
    def count(self) -> int:
        return len(self.seconds)

    @property
    def rate(self) -> float:
        return self.count / self.took if self.took else 0.0


class _Lane:
    """One command line: at most one question under way."""

    def __init__(self, path: str, connections: list[str]) -> None:
        self.connections = connections
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self._frames = FrameReader()
        self.moving = ""
        self.target = 0
        self.asked_at = 0.0

    def ask(self, connection: str, target: int) -> None:
        self.moving, self.target, self.asked_at = connection, target, time.monotonic()
        self.sock.sendall(encode(Request(move=Request.Move(connection=connection, hub=target))))

    def answer(self) -> Reply | None:
        """The answer, if all of it has come."""
        chunk = self.sock.recv(65_536)
        if not chunk:
            raise ConnectionResetError("the broker has hung up")
        self._frames.receive(chunk)
        frame = self._frames.next_frame()
        return None if frame is None else Reply.FromString(frame[0])


class Mover:
    """Knows where each connection is. ``path`` is the broker's socket."""

    def __init__(self, path: str, hubs: int, chance: random.Random) -> None:
        self.moves = Moves()
        self._hubs = hubs
        self._chance = chance
        rows = json.loads(request(path, Request(connections=Request.Connections()), Reply, PATIENCE).json)
        self._where: dict[str, int] = {row["id"]: row["hub"] for row in rows}
        ids = sorted(self._where)
        self._lanes = [_Lane(path, ids[lane::LANES]) for lane in range(min(LANES, len(ids)))]

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._where)

    def __call__(self, moves: int, rate: float, go_on: Callable[[Moves], bool]) -> None:
        """Ask for so many moves, at most ``rate`` a second, for as long as ``go_on(moves so far)``.

        Raises TimeoutError if the broker does not answer.
        """
        began = due = time.monotonic()
        asked = self.moves.count
        wanted = asked + moves
        free = list(self._lanes)
        with selectors.DefaultSelector() as selector:
            for lane in self._lanes:
                selector.register(lane.sock, selectors.EVENT_READ, lane)
            while True:
                if not go_on(self.moves):
                    wanted = asked
                now = time.monotonic()
                while free and asked < wanted and due <= now:
                    self._ask(free.pop(self._chance.randrange(len(free))))
                    asked += 1
                    due = max(due + 1 / rate, now - 0.1)  # what was missed by more is not made up for
                if asked == wanted and len(free) == len(self._lanes):
                    break
                patience = max(due - now, 0) if free and asked < wanted else PATIENCE
                for key, _ in selector.select(patience):
                    if self._take_answer(key.data):
                        free.append(key.data)
                self._check_patience(now)
        self.moves.took += time.monotonic() - began

    def _ask(self, lane: _Lane) -> None:
        connection = self._chance.choice(lane.connections)
        others = [hub for hub in range(self._hubs) if hub != self._where[connection]]
        lane.ask(connection, self._chance.choice(others))

    def _take_answer(self, lane: _Lane) -> bool:
        reply = lane.answer()
        if reply is None:
            return False
        self.moves.seconds.append(time.monotonic() - lane.asked_at)
        if reply.error:
            self.moves.aborted[reply.error.replace(lane.moving, "it")] += 1
        else:
            self.moves.done[lane.moving] += 1
            self._where[lane.moving] = lane.target
        lane.moving = ""
        return True

    def _check_patience(self, now: float) -> None:
        for lane in self._lanes:
            if lane.moving and now - lane.asked_at > PATIENCE:
                raise TimeoutError(f"no word about {lane.moving} to hub {lane.target} for {PATIENCE} s")

    def close(self) -> None:
        for lane in self._lanes:
            lane.sock.close()
