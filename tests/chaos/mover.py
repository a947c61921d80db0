"""Random moves as fast as wanted, asked of the broker over the socket that `actorrpc move` uses.

Keyed actors move as connections do. Each lane is one command line with one question under way, and has
connections and actors of its own: nothing is asked to move twice at once, and each is asked again only where
the last answer has left it.

A reload moves connections as well. While it does, a move may be refused that comes at the wrong moment, and
find that its connection is there already; it is one of the storm's own, and is told apart.

When a hub is killed, nothing more is moved to it, nor any connection that was there or under way, until
``look`` has learned what there is now.
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
from typing import Any

from actorrpc.ipc.framing import FrameReader, encode
from actorrpc.ipc.request import request
from actorrpc.pb.admin_pb2 import Reply, Request

__all__ = ["ACTORS", "Mover", "Moves"]

#: Command lines at once, of the 16 that a broker takes. With more there are no more moves, only a queue
#: before the hubs, in which all else waits, too.
LANES = 6
#: A broker that answers a question later than this has lost it.
PATIENCE = 60.0
#: How often it looks whether something can be moved, where nothing can.
IDLE = 0.001
#: The keyed actors that are moved: those of this service.
ACTORS = "peers.Peer"
#: Why a move is refused while a reload moves the same connection, or has the hub rest that was its target.
RELOADING = ("is being moved already", "being drained", "is draining", "is stopping", "has no link to hub")
#: Why a move is given up where a child, or other actors, take longer than it waits.
WAITING = (
    *(f"handler {name} running" for name in ("Fork", "Call", "Hold", "Recite")),
    "has not reached its actor",
    "what was told to other actors has not reached them",
)
#: A command line that says nothing for five seconds has to go: after so many it is another one that asks.
SILENCE = 2.0


@dataclass
class Moves:
    """What became of them. ``seconds`` are those from question to answer of each. ``excused``: those that
    were not made for a reason of the storm's own."""

    done: Counter[str] = field(default_factory=Counter)
    aborted: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
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

    def __init__(self, path: str) -> None:
        self.connections: list[str] = []
        self.moving = ""
        self.target = 0
        self.asked_at = 0.0
        self._path = path
        self._heard_at = 0.0
        self.connect()

    def connect(self) -> None:
        """Begin as a new command line."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)
        self._frames = FrameReader()
        self._heard_at = time.monotonic()

    @property
    def stale(self) -> bool:
        """It has said nothing for so long that the broker may hang up."""
        return not self.moving and time.monotonic() - self._heard_at > SILENCE

    def ask(self, connection: str, target: int) -> None:
        self.moving, self.target, self.asked_at = connection, target, time.monotonic()
        self.sock.sendall(encode(Request(move=Request.Move(connection=connection, hub=target))))

    def answer(self) -> Reply | None:
        """The answer, if all of it has come."""
        chunk = self.sock.recv(65_536)
        if not chunk:
            raise ConnectionResetError("the broker has hung up")
        self._frames.receive(chunk)
        self._heard_at = time.monotonic()
        frame = self._frames.next_frame()
        return None if frame is None else Reply.FromString(frame[0])


class Mover:
    """Knows where each connection is. ``path`` is the broker's socket."""

    def __init__(self, path: str, hubs: int, chance: random.Random) -> None:
        self.moves = Moves()
        self._path = path
        self._hubs = hubs
        self._living = set(range(hubs))
        self._chance = chance
        #: By id: where each connection and each keyed actor is, and the address of the connection's client.
        self._where: dict[str, int] = {}
        self._peers: dict[str, str] = {}
        #: Those that were under way as a hub died.
        self._struck: set[str] = set()
        #: When each has moved last.
        self._moved_at: dict[str, float] = {}
        #: A reload is under way, and when the last one has ended.
        self._reloading = False
        self._reloaded_at = 0.0
        #: No move is to begin.
        self._rests = False
        self._lanes = [_Lane(path) for _ in range(LANES)]
        self.look()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._peers)

    @property
    def actors(self) -> set[str]:
        """The keyed actors, as ``SERVICE/KEY``."""
        return self._where.keys() - self._peers.keys()

    @property
    def clients(self) -> set[str]:
        """Their addresses."""
        return set(self._peers.values())

    def where(self, peer: str) -> str:
        """Where a client is, as far as it is known, for a message."""
        found = [f"{id} on hub {self._where[id]}" for id, each in self._peers.items() if each == peer]
        return ", ".join(found) or "unknown"

    @property
    def quiet(self) -> bool:
        """Whether no move is under way; and let none begin before ``look``."""
        self._rests = True
        return not any(lane.moving for lane in self._lanes)

    def look(self) -> None:
        """Learn what connections and actors there are, while no move is under way."""
        rows = self._rows(Request(connections=Request.Connections()))
        rows = [row for row in rows if not row["awaits"]]  # else it cannot move yet
        self._peers = {row["id"]: row["peer"] for row in rows}
        self._where = {row["id"]: row["hub"] for row in rows}
        for row in self._rows(Request(actors=Request.Actors())):
            if row["service"] == ACTORS:
                self._where[f"{ACTORS}/{row['key']}"] = row["hub"]
        self._struck.clear()
        self._rests = False
        ids = sorted(self._where)
        for number, lane in enumerate(self._lanes):
            lane.connections = ids[number::LANES]

    def _rows(self, question: Request) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(request(self._path, question, Reply, PATIENCE).json)
        return rows

    def hub_dies(self, hub: int) -> tuple[set[str], set[str]]:
        """Move nothing to or from it any more. Returns what is there, and what is on the way from anywhere to
        anywhere: clients by their addresses, and actors."""
        self._living.discard(hub)
        self._struck = {lane.moving for lane in self._lanes if lane.moving}
        there = {id for id, at in self._where.items() if at == hub} - self._struck
        for lane in self._lanes:
            lane.connections = [id for id in lane.connections if id not in there | self._struck]
        return {self._peers.get(id, id) for id in there}, {self._peers.get(id, id) for id in self._struck}

    def moved_since(self, time: float) -> set[str]:
        """The clients and actors that have moved since a time of the monotonic clock."""
        moved = {id for id, at in self._moved_at.items() if at >= time and id in self._where}
        return {self._peers.get(id, id) for id in moved}

    def hub_lives(self, hub: int) -> None:
        """It is there again."""
        self._living.add(hub)

    def reload_begins(self) -> None:
        """From now on connections move by themselves, to other processes of their hubs."""
        self._reloading = True

    def reload_ended(self) -> None:
        """It has: what was asked for before may still be refused."""
        self._reloading, self._reloaded_at = False, time.monotonic()

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
                self._renew(lane, selector)
            while True:
                if not go_on(self.moves):
                    wanted = asked
                now = time.monotonic()
                while asked < wanted and due <= now and (lanes := [lane for lane in free if self._can(lane)]):
                    free.remove(lane := self._chance.choice(lanes))
                    if lane.stale:
                        self._renew(lane, selector)
                    self._ask(lane)
                    asked += 1
                    due = max(due + 1 / rate, now - 0.1)  # what was missed by more is not made up for
                if asked == wanted and len(free) == len(self._lanes):
                    break
                patience = max(due - now, IDLE) if free and asked < wanted else PATIENCE
                for key, _ in selector.select(patience):
                    if not key.data.moving:  # the broker has hung up, since it was silent
                        selector.unregister(key.data.sock)
                    elif self._has_hung_up(key.data):
                        self._renew(key.data, selector)
                        key.data.ask(key.data.moving, key.data.target)
                    elif self._take_answer(key.data):
                        free.append(key.data)
                self._check_patience(now)
        self.moves.took += time.monotonic() - began

    @staticmethod
    def _has_hung_up(lane: _Lane) -> bool:
        """Whether the broker did so as the question was on its way: this process had been silent, too."""
        try:
            return not lane.sock.recv(1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True

    @staticmethod
    def _renew(lane: _Lane, selector: selectors.BaseSelector) -> None:
        if lane.sock in selector.get_map():
            selector.unregister(lane.sock)
        lane.sock.close()
        lane.connect()
        selector.register(lane.sock, selectors.EVENT_READ, lane)

    def _can(self, lane: _Lane) -> bool:
        """Whether it has something that can move."""
        return len(self._living) > 1 and not self._rests and bool(lane.connections)

    def _ask(self, lane: _Lane) -> None:
        connection = self._chance.choice(lane.connections)
        others = [hub for hub in sorted(self._living) if hub != self._where[connection]]
        lane.ask(connection, self._chance.choice(others))

    def _take_answer(self, lane: _Lane) -> bool:
        reply = lane.answer()
        if reply is None:
            return False
        self.moves.seconds.append(time.monotonic() - lane.asked_at)
        if reply.error and (lane.moving in self._struck or self._is_excused(reply.error, lane)):
            self.moves.excused[reply.error.replace(lane.moving, "it")] += 1
        elif self._is_of_reload(lane) and "is already on hub" in reply.done:
            self.moves.excused["a reload had moved it there"] += 1
            self._where[lane.moving] = lane.target
        elif reply.error:
            self.moves.aborted[reply.error.replace(lane.moving, "it")] += 1
        else:
            self.moves.done[lane.moving] += 1
            self._where[lane.moving] = lane.target
            self._moved_at[lane.moving] = time.monotonic()
        lane.moving = ""
        return True

    def _is_of_reload(self, lane: _Lane) -> bool:
        """Whether a reload was under way at some time after the lane's question."""
        return self._reloading or lane.asked_at < self._reloaded_at

    def _is_excused(self, error: str, lane: _Lane) -> bool:
        """Whether a handler waits for its child, or something for an actor that moves or waits itself, or a
        reload is under way, or a hub has died: then topics may wait for another home, and the broker for the
        dead hub's answer."""
        if any(reason in error for reason in WAITING):
            return True
        if self._is_of_reload(lane) and any(reason in error for reason in RELOADING):
            return True
        reasons = ("acknowledged", "subscription", "on no hub that answers")
        return len(self._living) < self._hubs and any(reason in error for reason in reasons)

    def _check_patience(self, now: float) -> None:
        for lane in self._lanes:
            if lane.moving and now - lane.asked_at > PATIENCE:
                raise TimeoutError(f"no word about {lane.moving} to hub {lane.target} for {PATIENCE} s")

    def close(self) -> None:
        for lane in self._lanes:
            lane.sock.close()
