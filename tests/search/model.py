"""Hubs, links, connections that move, and who looks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from actorrpc.errors import RpcError
from actorrpc.hub.connected.connected import ConnectedActors
from actorrpc.hub.directory.names import Location
from actorrpc.hub.phase import FROZEN, SERVING
from actorrpc.hub.search import departures, search
from actorrpc.hub.search.search import Found, Search
from actorrpc.pb.control_pb2 import HubToHub
from tests.support.clock import Clock
from tests.support.long_run import Choose

__all__ = ["Fault", "World", "play"]

Steps = dict[str, Callable[[], object]]

HUBS = 4
#: No more processes than these, one after the other, no more connections, and no more searches.
MOST, MOST_CONNECTIONS, MOST_SEARCHES = 8, 4, 40
TOO_MANY = 20_000
KINDS = [*["steps"] * 20, *["moves"] * 8, *["searches"] * 6, *["misfortunes"] * 2, "time", "ends"]


class Fault(AssertionError):
    """A rule does not hold."""


class Phase:
    def __init__(self, state: str) -> None:
        self.state = state


class Connection:
    """One connection in one hub."""

    def __init__(self, id: str, moves: int) -> None:
        self.id, self.moves = id, moves
        self.phase = Phase(SERVING)
        #: Where it is to go, while that is under way, and the number of the attempt.
        self.target: int | None = None
        self.attempt = 0


class Link:
    """What is under way between two hubs, in both directions; None is its end."""

    def __init__(self, one: Hub, other: Hub) -> None:
        self.inbox: dict[int, deque[Any]] = {one.serial: deque(), other.serial: deque()}
        self.over = False

    def end(self, keep: int = 1 << 20) -> None:
        """Both sides read so much more, and then its end."""
        if not self.over:
            self.over = True
            for inbox in self.inbox.values():
                while len(inbox) > keep:
                    inbox.pop()
                inbox.append(None)


class Hub:
    """One process: the real search, and what it asks of a hub."""

    def __init__(self, world: World, serial: int) -> None:
        self.world, self.serial = world, serial
        self.alive = True
        self.links: dict[int, Link] = {}
        #: Introductions that it has not taken up.
        self.orders: deque[tuple[int, Link | None]] = deque()
        #: How many look for something here.
        self.open = 0
        #: Those of which it may hear that they have died.
        self.unlinked: set[int] = set()
        self.connections: dict[str, Connection] = {}
        #: Connections that are on their way here, the link over which they are offered, and the attempt.
        self.offers: dict[tuple[Link, int], tuple[str, int]] = {}
        unused: Any = None
        connections: Any = self.connections
        self.actors = ConnectedActors(serial, connections, unused, self.arrives)
        self.search = Search(serial, self, self.actors.where)

    # ---- as ``Peers``

    def send(self, serial: int, message: Any) -> None:
        link = self.links.get(serial)
        if self.alive and link is not None and not link.over:
            if isinstance(message, HubToHub):
                message = HubToHub.FromString(message.SerializeToString())
            link.inbox[serial].append(message)

    def known(self) -> Collection[int]:
        return self.links.keys()

    def can_search(self, serial: int) -> bool:
        return True

    # ---- what it hears

    def read(self, serial: int, link: Link) -> None:
        message = link.inbox[self.serial].popleft()
        if message is None:
            self._lost(serial, link)
        else:
            self._receive(serial, link, message)

    def _receive(self, serial: int, link: Link, message: Any) -> None:
        if isinstance(message, HubToHub):
            self.search.receive(serial, message)
            return
        kind, id, moves, attempt = message
        if kind == "parted":
            self.search.parted(serial)
        elif kind == "prepare":
            self.offers[link, attempt] = id, moves
            self.send(serial, ("prepared", id, moves, attempt))
        elif kind == "prepared":
            connection = self.connections.get(id)
            if connection is None or connection.target is None or connection.attempt != attempt:
                pass
            elif link.over:
                self.stay(connection)
            else:
                self._commit(connection, serial, link)
        elif kind == "abort":
            self.offers.pop((link, attempt), None)
        elif kind == "commit" and self.offers.pop((link, attempt), None) is not None:
            self.connections[id] = Connection(id, moves + 1)
            self.world.owner[id] = self.serial
        self.actors.look()

    def _commit(self, connection: Connection, target: int, link: Link) -> None:
        """Its socket is the target's from now on, and nobody's if it never reads that."""
        self.send(target, ("commit", connection.id, connection.moves, connection.attempt))
        del self.connections[connection.id]
        self.world.owner[connection.id] = link
        given: Any = connection
        self.actors.moved(given, target)

    def _lost(self, serial: int, link: Link) -> None:
        """As ``Node._lost``: what was under way on it is settled."""
        for connection in self.connections.values():
            if connection.target == serial and self.links.get(serial) is link:
                self.stay(connection)
        for offer in [offer for offer in self.offers if offer[0] is link]:
            del self.offers[offer]
        if self.links.get(serial) is link:
            del self.links[serial]
            self.search.unlinked(serial)
            self.unlinked.add(serial)
        self.actors.look()

    def join(self) -> None:
        """Take a link, which replaces an earlier one: what that has brought is heard first."""
        serial, link = self.orders.popleft()
        if link is None:  # it has been introduced to all that were there
            self.search.joined()
            return
        if (old := self.links.get(serial)) is not None:
            old.end()
            while old.inbox[self.serial]:
                self.read(serial, old)
        self.links[serial] = link
        self.unlinked.discard(serial)
        self.search.linked(serial)

    def hears_of_death(self, serial: int) -> None:
        self.unlinked.discard(serial)
        self.search.died(serial)

    def arrives(self, connection: str) -> bool:
        return any(id == connection for id, _ in self.offers.values())

    # ---- what it does

    def move(self, connection: Connection, target: int) -> None:
        connection.phase.state, connection.target = FROZEN, target
        connection.attempt = next(self.world.attempts)
        self.send(target, ("prepare", connection.id, connection.moves, connection.attempt))

    def give_up(self, connection: Connection) -> None:
        assert connection.target is not None
        self.send(connection.target, ("abort", connection.id, connection.moves, connection.attempt))
        self.stay(connection)

    def stay(self, connection: Connection) -> None:
        connection.phase.state, connection.target = SERVING, None
        self.actors.look()

    def part(self) -> None:
        """It has nothing left, and ends: it says so, and hears nothing more."""
        for serial in self.links:
            self.send(serial, ("parted", "", 0, 0))
        self.world.kill(self)


class World:
    """``choose`` decides what happens."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.hubs: list[Hub] = []
        self.dead: set[int] = set()
        self.last = 0
        self.made: list[str] = []
        self.searches = 0
        self.moved = 0
        #: Where each connection is: in a hub, or under way on a link; those that are not here have ended.
        self.owner: dict[str, int | Link] = {}
        self.attempts = count(1)
        self.taken: list[str] = []
        self.faults: list[Fault] = []
        self.chaos = True
        self._patch = pytest.MonkeyPatch()
        self.clock = Clock(self._patch, (search, departures))
        for _ in range(HUBS):
            self.start()
        while any(hub.orders for hub in self.hubs):
            for hub in self.hubs:
                if hub.orders:
                    hub.join()

    def close(self) -> None:
        self._patch.undo()

    # ---- what happens

    def steps(self) -> Steps:
        """What goes on by itself."""
        steps: Steps = {}
        for hub in self.hubs:
            for serial, link in hub.links.items():
                if link.inbox[hub.serial]:
                    steps[f"{hub.serial} reads {serial}"] = partial(hub.read, serial, link)
            if hub.orders:
                steps[f"{hub.serial} takes a link to {hub.orders[0][0]}"] = hub.join
            # What the broker has said before comes first: it could be read first.
            for serial in () if hub.orders else hub.unlinked & self.dead:
                steps[f"{hub.serial} hears that {serial} has died"] = partial(hub.hears_of_death, serial)
        for one in self.hubs:
            for other in self.hubs:
                if one.serial < other.serial and not self._linked(one, other):
                    steps[f"{one.serial} and {other.serial} are introduced"] = partial(
                        self.introduce, one, other
                    )
        return steps

    def moves(self) -> Steps:
        steps: Steps = {}
        for hub in self.hubs:
            for id, connection in hub.connections.items():
                if connection.target is not None:
                    steps[f"{id} stays with {hub.serial}"] = partial(hub.give_up, connection)
                    continue
                for target in hub.links:
                    label = f"{id} moves from {hub.serial} to {target}"
                    steps[label] = partial(self._move, hub, connection, target)
        return steps

    def _move(self, hub: Hub, connection: Connection, target: int) -> None:
        self.moved += 1
        hub.move(connection, target)

    def searches_(self) -> Steps:
        steps: Steps = {}
        if self.searches < MOST_SEARCHES:
            for hub in self.hubs:
                for id in self.made:
                    steps[f"{hub.serial} looks for {id}"] = partial(self.look_for, hub, id)
        return steps

    def time(self) -> Steps:
        timer = self.clock.next()
        return {} if timer is None else {f"time passes: {timer.seconds:.0f}": self.clock.fire}

    def ends(self) -> Steps:
        """Connections come and go."""
        steps: Steps = {}
        for hub in self.hubs:
            if len(self.made) < MOST_CONNECTIONS:
                steps[f"{hub.serial} accepts one"] = partial(self.accept, hub)
            for id in hub.connections:
                steps[f"{id} ends in {hub.serial}"] = partial(self.end, hub, id)
        return steps

    def misfortunes(self) -> Steps:
        steps: Steps = {}
        for hub in self.hubs:
            if len(self.hubs) > 1:
                steps[f"{hub.serial} dies"] = partial(self.kill, hub)
            idle = not (hub.connections or hub.offers)
            if idle and len(self.hubs) > 2:
                steps[f"{hub.serial} parts"] = hub.part
            for serial, link in hub.links.items():
                if serial > hub.serial and not link.over:
                    steps[f"the link of {hub.serial} and {serial} breaks"] = partial(self.break_off, link)
        if len(self.hubs) < HUBS and self.last < MOST:
            steps["a hub starts"] = self.start
        return steps

    def run(self, kind: str) -> bool:
        steps: Steps = self.searches_() if kind == "searches" else getattr(self, kind)()
        if steps:
            label = self.choose(kind, sorted(steps))
            self.taken.append(label)
            steps[label]()
        if self.faults:
            raise self.faults[0]
        return bool(steps)

    # ---- who looks

    @property
    def open(self) -> int:
        return sum(hub.open for hub in self.hubs)

    def look_for(self, hub: Hub, id: str, stale: Location | None = None, tries: int = 0) -> None:
        self.searches += 1
        hub.open += 1
        hub.search.find(id, partial(self.found, hub, id, tries), stale=stale)

    def found(self, hub: Hub, id: str, tries: int, found: Found) -> None:
        hub.open -= 1
        if not hub.alive:
            return
        if found is None:
            if self.lives(id):
                self.wrong(f"{hub.serial} is told that {id} has ended, which {self.owner[id]} has")
        elif isinstance(found, RpcError):
            if not self.chaos:
                self.wrong(f"{hub.serial} cannot find {id}: {found}")
        elif self.owner.get(id) != found.hub and not self._may_have(id, found.hub):
            # Whoever calls there is told so, and looks again.
            if tries > 50:
                self.wrong(f"{hub.serial} finds {id} where it is not, again and again")
                return
            self.look_for(hub, id, found, tries + 1)

    def wrong(self, what: str) -> None:
        """A rule does not hold, in a callback whose errors are only logged."""
        self.faults.append(Fault(what))

    def lives(self, id: str) -> bool:
        return id in self.owner

    def _may_have(self, id: str, serial: int) -> bool:
        """Whether it is on its way there, so that a call waits there for it."""
        return any(hub.arrives(id) for hub in self.hubs if hub.serial == serial)

    # ---- connections

    def accept(self, hub: Hub) -> None:
        id = f"c-{hub.serial}-{len(self.made) + 1}"
        self.made.append(id)
        hub.connections[id] = Connection(id, 0)
        self.owner[id] = hub.serial

    def end(self, hub: Hub, id: str) -> None:
        connection = hub.connections.pop(id)
        if connection.target is not None:
            hub.send(connection.target, ("abort", id, connection.moves, connection.attempt))
        del self.owner[id]
        hub.actors.look()

    # ---- hubs and links

    def start(self) -> None:
        self.last += 1
        hub = Hub(self, self.last)
        for other in self.hubs:
            self.introduce(hub, other)
        hub.orders.append((0, None))
        self.hubs.append(hub)

    def introduce(self, one: Hub, other: Hub) -> None:
        link = Link(one, other)
        one.orders.append((other.serial, link))
        other.orders.append((one.serial, link))

    def _linked(self, one: Hub, other: Hub) -> bool:
        if any(serial == other.serial for serial, _ in one.orders) or any(
            serial == one.serial for serial, _ in other.orders
        ):
            return True
        link = one.links.get(other.serial)
        return link is not None and link is other.links.get(one.serial) and not link.over

    def break_off(self, link: Link) -> None:
        link.end(int(self.choose("keep", ["0", "1", "2", "9"])))
        self._count_lost()

    def kill(self, hub: Hub) -> None:
        hub.alive = False
        self.hubs.remove(hub)
        self.dead.add(hub.serial)
        for link in [*hub.links.values(), *[link for _, link in hub.orders if link is not None]]:
            link.end()
            link.inbox[hub.serial].clear()
        for id in [id for id, owner in self.owner.items() if owner == hub.serial]:
            del self.owner[id]
        hub.search.close()
        hub.actors.close()
        for other in self.hubs:  # also one that has not taken the link up
            for serial, way in other.orders:
                if serial == hub.serial and way is not None:
                    way.end()
        self._count_lost()

    def _count_lost(self) -> None:
        """Connections whose COMMIT nobody will read have ended."""
        for id, owner in [*self.owner.items()]:
            if isinstance(owner, Link) and not any(
                message is not None and not isinstance(message, HubToHub) and message[:2] == ("commit", id)
                for inbox in owner.inbox.values()
                for message in inbox
            ):
                del self.owner[id]

    # ---- rest

    def finish(self) -> None:
        """No more misfortunes: all searches end, and find what there is."""
        self._settle()
        while self.run("time") or self.run("steps"):
            self._settle()
        if self.open:
            raise Fault(f"{self.open} searches do not end")
        self.chaos = False
        self.searches = 0
        for hub in self.hubs:
            for id in self.made:
                self.look_for(hub, id)
                self._settle()
        if self.open or self.faults:
            raise Fault(f"{self.open} searches do not end at rest: {self.faults}")
        for hub in self.hubs:
            if (
                hub.search._rounds
                or hub.search._questions
                or hub.actors._waiting
                or len(hub.actors.departures)
            ):
                raise Fault(f"something is left in hub {hub.serial}: {hub.search!r} {hub.actors!r}")

    def _settle(self) -> None:
        for _ in range(TOO_MANY):
            if not self.run("steps"):
                return
        raise Fault("it does not come to rest")


def play(path: Path, choose: Choose, steps: int) -> World:
    """Do so many steps, and come to rest. Where a fault shows, it is raised, with the steps."""
    world = World(choose)
    try:
        for _ in range(steps):
            world.run(choose("kind", KINDS))
        world.finish()
    except Exception as error:
        raise AssertionError("\n".join([*world.taken, str(error)])) from error
    finally:
        world.close()
    return world
