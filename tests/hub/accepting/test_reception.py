"""One hub's reception without a hub: its timer, its lobby, its refusals, and what it tells its neighbours."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from actorrpc.config import Config
from actorrpc.hub.accepting import waiting as module
from actorrpc.hub.accepting.listener import Listener
from actorrpc.hub.accepting.passing import Neighbour, PendingConnection
from actorrpc.hub.accepting.reception import Reception
from actorrpc.hub.accepting.waiting import LOOK, NEXT_STEP, REFUSALS_PER_STEP
from actorrpc.net.peers import Remote
from actorrpc.net.sockets import PlainSocket
from actorrpc.pb import control_pb2


class Timers:
    """Timers of the loop that the test lets fire."""

    def __init__(self) -> None:
        self.running: list[FakeTimer] = []
        self.loop = SimpleNamespace(timer=lambda seconds: FakeTimer(self, seconds))

    def fire(self) -> None:
        for timer in list(self.running):
            timer.callback()


class FakeTimer:
    def __init__(self, timers: Timers, seconds: float) -> None:
        self._timers = timers
        self.seconds = seconds

    def start(self, callback: Callable[[], None], update: bool) -> None:
        self.callback = callback
        self._timers.running.append(self)

    def close(self) -> None:
        if self in self._timers.running:
            self._timers.running.remove(self)


class FakeRefusal:
    """Goes on until it is told to hurry."""

    begun: list[FakeRefusal]
    speaks = False

    def __init__(
        self, sock: Any, remote: Remote, why: str, config: Config, over: Callable[[Any], None]
    ) -> None:
        self.peer = remote.peer
        self.silent = not self.speaks
        self._sock = sock
        self._over = over
        self.begun.append(self)

    def start(self) -> None: ...

    def hurry(self) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()
        self._over(self)


class FakeListener:
    """A queue of which so many have waited too long."""

    resting = True

    def __init__(self, number: int, waiting: int) -> None:
        self._number = number
        self._waiting = waiting

    def look(self) -> None: ...
    def resume(self) -> None: ...

    def close(self) -> None: ...

    def overdue(self, patience: float) -> int:
        return self._waiting

    def pick(self) -> tuple[socket.socket, Remote]:
        self._waiting -= 1
        return PlainSocket(), Remote(str(self._number))


class FakeLink:
    def __init__(self) -> None:
        self.told: list[control_pb2.Occupancy] = []
        self.offered: list[control_pb2.Accepted] = []
        self.broken = False

    def send(self, message: Any, fds: tuple[int, ...] = (), then: Callable[[], None] | None = None) -> bool:
        if message.HasField("occupancy"):
            self.told.append(message.occupancy)
        elif self.broken:
            return False
        elif message.HasField("accepted"):
            self.offered.append(message.accepted)
        if then is not None:
            then()
        return True


class Desk(Reception):
    """A reception for at most so many, which the test counts."""

    def __init__(self, limit: int, full_timeout: float) -> None:
        self.served: list[str] = []
        super().__init__(
            0,
            Config(max_connections=limit, full_timeout=full_timeout),
            serve=self._take,
            count=lambda: len(self.served),
            settled=lambda: None,
        )

    def _take(self, sock: socket.socket, remote: Remote) -> None:
        self.served.append(remote.peer)
        sock.close()
        self.occupancy.changed()

    def come(self, count: int) -> None:
        for number in range(count):
            self._place(PendingConnection(PlainSocket(), Remote(f"client {number}"), spread=False, since=0.0))

    def join(self, hub: int, gives: bool) -> FakeLink:
        link = FakeLink()
        self.add(hub, link)
        occupancy = control_pb2.Occupancy(room=0, gives=gives)
        self.passing.receive(hub, control_pb2.HubToHub(occupancy=occupancy), ())
        return link


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    timers = Timers()
    monkeypatch.setattr("actorrpc.loop.timers.get_hub", lambda: timers)
    return timers


@pytest.fixture(params=["silent", "speaking"])
def refusals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeRefusal]]:
    FakeRefusal.begun = []
    monkeypatch.setattr(FakeRefusal, "speaks", request.param == "speaking")
    monkeypatch.setattr(module, "Refusal", FakeRefusal)
    yield FakeRefusal.begun
    for refusal in FakeRefusal.begun:
        refusal._sock.close()


# ---- the timer


def test_there_is_one_timer_while_somebody_waits_and_then_none(timers: Timers) -> None:
    desk = Desk(1, full_timeout=0)
    desk.come(5)
    assert desk.served == ["client 0"]
    for _ in range(20):
        assert [timer.seconds for timer in timers.running] == [LOOK]
        timers.fire()
    desk.served.clear()
    desk.resume()
    assert len(timers.running) == 1, "three more wait"
    desk.occupancy._limit = 0
    timers.fire()
    assert timers.running == []
    assert len(desk.served) == 4
    desk.close()


@pytest.mark.parametrize("refusals", ["silent"], indirect=True)
def test_a_crowd_that_is_refused_has_one_timer_too(timers: Timers, refusals: list[FakeRefusal]) -> None:
    desk = Desk(1, full_timeout=1.0)
    desk.come(1 + 5 * REFUSALS_PER_STEP)
    for step in range(1, 6):
        timers.fire()
        assert len(refusals) == step * REFUSALS_PER_STEP
        assert [timer.seconds for timer in timers.running] == [NEXT_STEP]
    timers.fire()
    assert timers.running == [], "nobody waits"
    desk.close()


def test_what_is_closed_has_neither_timer_nor_lobby(timers: Timers) -> None:
    desk = Desk(1, full_timeout=0)
    desk.come(3)
    socks = [pending.sock for pending in desk.waiting.lobby]
    desk.close()
    assert timers.running == []
    assert [sock.fileno() for sock in socks] == [-1, -1]
    assert not desk.unsettled


# ---- refusals


def test_who_says_nothing_makes_way_for_others(
    timers: Timers, refusals: list[FakeRefusal], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_REFUSALS", REFUSALS_PER_STEP)
    desk = Desk(1, full_timeout=1.0)
    desk.come(1 + 3 * REFUSALS_PER_STEP)
    for _ in range(3):
        timers.fire()
        assert len(desk.waiting.refusals) == REFUSALS_PER_STEP
    if FakeRefusal.speaks:
        assert len(refusals) == REFUSALS_PER_STEP, "those who speak may finish"
    else:
        assert len(refusals) == 3 * REFUSALS_PER_STEP
        assert list(desk.waiting.refusals) == refusals[-REFUSALS_PER_STEP:], "the oldest went first"
    timers.fire()
    assert len(desk.waiting.refusals) == REFUSALS_PER_STEP, "nobody waits: nobody has to go"
    desk.close()


@pytest.mark.parametrize("refusals", ["silent"], indirect=True)
def test_queues_are_refused_from_in_turn(timers: Timers, refusals: list[FakeRefusal]) -> None:
    desk = Desk(1, full_timeout=1.0)
    desk.come(1)
    desk.waiting.listeners = {number: FakeListener(number, 100) for number in range(3)}  # type: ignore[misc]
    desk.waiting.watch()
    for _ in range(3):
        timers.fire()
    assert sorted(refusal.peer for refusal in refusals) == ["0"] * 8 + ["1"] * 8 + ["2"] * 8
    desk.close()


# ---- neighbours


def test_those_that_give_share_the_room() -> None:
    desk = Desk(5, full_timeout=0)
    one, other = desk.join(1, gives=True), desk.join(2, gives=True)
    desk.occupancy.tick(0.0)
    assert [link.told[-1].room for link in (one, other)] == [3, 3]
    desk.come(4)
    desk.occupancy.tick(0.0)
    assert [link.told[-1].room for link in (one, other)] == [1, 1], "the last place may be given twice"
    desk.come(1)
    assert [link.told[-1].room for link in (one, other)] == [0, 0]
    desk.close()


def crowd_of(hubs: int, limit: int = 10) -> tuple[Desk, list[FakeLink]]:
    """A reception whose neighbours all want to know what there is, and know it."""
    desk = Desk(limit, full_timeout=0)
    links = [desk.join(hub, gives=True) for hub in range(1, hubs)]
    desk.occupancy.tick(0.0)
    for link in links:
        link.told.clear()
    return desk, links


def test_what_is_not_new_is_said_half_as_often_and_not_to_all_at_once() -> None:
    desk, links = crowd_of(9)
    for _ in range(8):
        before = sum(len(link.told) for link in links)
        desk.occupancy.tick(0.0)
        assert sum(len(link.told) for link in links) - before == 4
    assert [len(link.told) for link in links] == [4] * 8
    desk.come(1)
    desk.occupancy.tick(0.0)
    assert sum(len(link.told) for link in links) == 32 + 8, "that is new to all"
    desk.close()


def test_a_load_that_is_new_is_said() -> None:
    desk, (link,) = crowd_of(2)
    for _ in range(8):
        desk.occupancy.tick(1.0)
    assert link.told[-1].busy > 0.2
    assert len(link.told) == 8
    desk.close()


def test_what_hubs_cost_each_other_does_not_grow_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round looks at this hub once, and a word of a neighbour at no other."""
    looks: list[int] = []
    check = Neighbour.check
    monkeypatch.setattr(Neighbour, "check", lambda self, tick: (looks.append(self.hub), check(self, tick)))
    desk, _ = crowd_of(100)
    counted: list[None] = []
    count = desk.occupancy._count
    desk.occupancy._count = lambda: (counted.append(None), count())[1]
    desk.come(1)
    counted.clear()
    desk.occupancy.tick(0.0)
    assert len(counted) <= 3
    occupancy = control_pb2.Occupancy(connections=3, room=7, gives=True)
    looks.clear()
    for _ in range(10):
        desk.passing.receive(5, control_pb2.HubToHub(occupancy=occupancy), ())
    assert set(looks) == {5}
    desk.close()


def test_a_full_hub_where_clients_come_and_go_does_not_tell_each_time(timers: Timers) -> None:
    desk, (link,) = crowd_of(2, limit=2)
    desk.come(2)
    assert link.told[-1].room == 0
    link.told.clear()
    for _ in range(100):
        desk.served.pop()
        desk.occupancy.changed()
        desk.come(1)
    assert len(link.told) <= 2, "that it has room, and that it has none"
    desk.served.pop()
    desk.occupancy.changed()
    timers.fire()
    assert link.told[-1].room == 1, "in the end it says so"
    desk.close()


def offered(link: FakeLink) -> int:
    return len(link.offered)


def hear(desk: Desk, hub: int, **occupancy: Any) -> None:
    desk.passing.receive(hub, control_pb2.HubToHub(occupancy=control_pb2.Occupancy(**occupancy)), ())


def test_a_hub_with_too_much_memory_gives_away_what_it_would_serve_itself() -> None:
    desk = Desk(0, full_timeout=0)
    link, other = desk.join(1, gives=False), desk.join(2, gives=False)
    desk.come(1)
    assert (desk.served, link.told) == (["client 0"], [])
    desk.occupancy.set_over_memory(True)
    assert (link.told[-1].gives, link.told[-1].over_memory) == (True, True), "it wants to know what they have"
    desk.come(1)
    assert len(desk.served) == 2, "nobody has said yet that he has room"
    hear(desk, 1, connections=50, busy=0.9)
    hear(desk, 2, over_memory=True)
    desk.come(3)
    assert (len(desk.served), offered(link), offered(other)) == (2, 3, 0)
    hear(desk, 1, connections=50, busy=0.9, over_memory=True)
    desk.come(3)
    assert (len(desk.served), offered(link), offered(other)) == (5, 3, 0), "all have too much"
    hear(desk, 1)
    desk.come(1)
    assert offered(link) == 4
    desk.occupancy.set_over_memory(False)
    assert (link.told[-1].gives, link.told[-1].over_memory) == (False, False)
    desk.come(1)
    assert len(desk.served) == 6
    desk.close()


def test_a_full_hub_gives_to_one_with_too_much_memory_only_if_no_other_is_there() -> None:
    desk = Desk(1, full_timeout=0)
    link, other = desk.join(1, gives=True), desk.join(2, gives=True)
    hear(desk, 1, over_memory=True)
    hear(desk, 2, connections=9, busy=1.0, room=1)
    desk.come(2)
    assert (offered(link), offered(other)) == (0, 1)
    desk.come(1)
    assert (offered(link), offered(other)) == (1, 1)
    desk.close()


def test_what_could_not_be_taken_does_not_count() -> None:
    desk = Desk(5, full_timeout=0)
    link = desk.join(1, gives=True)
    link.broken = True
    sock = socket.socket()
    accepted = control_pb2.HubToHub(accepted=control_pb2.Accepted(number=1, peer="client"))
    desk.passing.receive(1, accepted, (sock.detach(),))
    assert desk.passing.neighbours[1].taken == 0
    assert desk.passing.arriving == 0
    desk.close()


def test_a_hub_that_was_left_alone_learns_who_could_accept() -> None:
    desk = Desk(0, full_timeout=0)
    link = desk.join(1, gives=False)
    desk.join(2, gives=False)
    for _ in range(10):
        desk.occupancy.tick(0.0)
    assert link.told == [], "as long as nobody gives, nothing is said"
    desk.occupancy.broker_lost()
    assert link.told[-1].gives
    assert desk.occupancy.able == [1, 2], "they have not been asked before"
    answer = control_pb2.Occupancy()
    for _ in range(10):
        desk.occupancy.tick(0.0)
        desk.passing.receive(1, control_pb2.HubToHub(occupancy=answer), ())
    assert desk.occupancy.able == [1]
    answer.stopping = True
    desk.passing.receive(1, control_pb2.HubToHub(occupancy=answer), ())
    assert desk.occupancy.able == []
    desk.close()


def test_a_hub_that_stops_says_so() -> None:
    desk = Desk(0, full_timeout=0)
    link = desk.join(1, gives=True)
    desk.occupancy.tick(0.0)
    assert not link.told[-1].stopping
    desk.stop()
    assert link.told[-1].stopping
    desk.close()


# ---- the listener


def test_a_client_that_cannot_be_picked_is_told_of_and_waits() -> None:
    failures: list[OSError] = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        listener = Listener(server, lambda *_: None, lambda: False, lambda: None, failures.append)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            assert [listener.pick(), listener.pick()] == [None, None]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [failure.errno for failure in failures] == [errno.EMFILE, errno.EMFILE]
        picked = listener.pick()
        assert picked is not None
        picked[0].close()
        assert listener.pick() is None
        listener.close()
