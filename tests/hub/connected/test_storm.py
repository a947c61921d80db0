"""Members that call each other by reference, while both ends move all the time, and links break."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

import gevent

from actorrpc import ActorRef
from actorrpc.loop.timers import every
from tests.apps.shapes_pb2 import Item
from tests.hub.connected.members import Group, StatefulStub, does, group, note

HUBS = 3
MEMBERS = 5
#: At least.
ROUNDS, MOVES, BREAKS = 20, 60, 5
LINES = 30
#: Seconds between two moves of all connections, and between two breaks of a link.
MOVE_EVERY, BREAK_EVERY = 0.01, 0.02


def act(member: Any, request: Item, call: Any) -> Item:
    """Do as ``text`` says to the member whose reference is in the body."""
    if not request.body:
        return note(member, request, call)
    what, token = request.text.split()
    stub = StatefulStub(ActorRef.FromString(request.body))
    if what == "tell":
        stub.Unary.tell(Item(text=token))
        return request
    if what == "stream":
        lines = [line.number for line in stub.Expand(Item(number=LINES))]
        assert lines == [*range(LINES)], lines
        return request
    if what == "future":
        futures = [stub.Unary.future(Item(text=f"{token}.{number}")) for number in range(3)]
        return Item(text=token, number=[future.result().text for future in futures].index(f"{token}.2"))
    return stub.Unary(Item(text=token))


def recite(member: Any, request: Item, call: Any) -> Any:
    for number in range(int(call.cursor or b"0"), request.number):
        call.cursor = b"%d" % (number + 1)
        yield Item(number=number, body=bytes(3000))
        if number % 5 == 0:
            gevent.sleep(0)


class Storm:
    def __init__(self, members: Group) -> None:
        self.members = members
        self.random = Random(7)
        self.broken = 0
        self.failures: list[BaseException] = []
        #: By member, what it must have noted, in the order of each caller.
        self.said: dict[str, dict[int, list[str]]] = {}

    @property
    def moved(self) -> int:
        return sum(not each.aborted for each in self.members.hubs.moved)

    def move(self) -> None:
        for node in self.members.hubs.nodes:
            for connection in [*node.connections]:
                node.mover.move_on(connection)

    def break_link(self) -> None:
        """Break one over which nothing moves, and have the two introduced again, as a broker does."""
        one, other = self.random.sample(self.members.hubs.nodes, 2)
        link, back = one.links.by_serial.get(other.serial), other.links.by_serial.get(one.serial)
        sources = [*one.mover.handoffs.sources.values(), *other.mover.handoffs.sources.values()]
        targets = [*one.mover.handoffs.targets.values(), *other.mover.handoffs.targets.values()]
        if link is None or back is None or any(each.link in (link, back) for each in (*sources, *targets)):
            return
        self.broken += 1
        link.give_up()
        if not back.closed:
            back.give_up()
        ends = socket.socketpair()
        one.add_peer(other.serial, ends[0], other.hub)
        other.add_peer(one.serial, ends[1], one.hub)

    def talk(self, number: int, stub: StatefulStub, others: list[ActorRef]) -> None:
        try:
            random = Random(number)
            for turn in count():
                if turn >= ROUNDS and self.broken >= BREAKS and self.moved >= MOVES:
                    return
                what, ref = random.choice(["call", "tell", "stream", "future"]), random.choice(others)
                token = f"{number}-{turn}"
                stub.Unary(Item(text=f"{what} {token}", body=ref.SerializeToString()), timeout=60)
                noted = {"stream": [], "future": [f"{token}.{each}" for each in range(3)]}.get(what, [token])
                self.said.setdefault(ref.connection, {}).setdefault(number, []).extend(noted)
        except BaseException as error:
            self.failures.append(error)


def ordered(notes: list[str], number: int) -> list[str]:
    return [each for each in notes if each.split("-")[0] == str(number)]


def test_members_call_each_other_in_a_storm() -> None:
    with group(HUBS) as members:
        storm = Storm(members)
        joined = [members.join() for _ in range(MEMBERS)]
        does.update({"Unary": act, "Expand": recite})
        timers: list[Any] = members.hubs.ask(
            lambda: [every(MOVE_EVERY, storm.move), every(BREAK_EVERY, storm.break_link)]
        )
        jobs: list[Callable[[], None]] = []
        for number, (stub, _) in enumerate(joined):
            # No circles: each calls those after it only.
            if others := [ref for _, ref in joined[number + 1 :]]:
                jobs += [lambda n=number, s=stub, o=others: storm.talk(n, s, o)]
        threads = [threading.Thread(target=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        members.hubs.ask(lambda: [timer.close() for timer in timers])
        assert not storm.failures, storm.failures
        members.hubs.wait_for(members.at_rest)
        for stub, ref in joined[1:]:
            notes = stub.Notes(Item(), timeout=20).text.split()
            for number, said in storm.said.get(ref.connection, {}).items():
                assert ordered(notes, number) == said, "each once, and in order"
            assert len(notes) == sum(map(len, storm.said.get(ref.connection, {}).values()))
