"""Giving and taking over a link that may be slow, may end, or may lose its target at any step: in a model.

Whatever happens, each connection has exactly one owner in the end: the giver, who has it back, or the taker,
who serves it.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from actorrpc.hub.accepting.passing import Passing, PendingConnection
from actorrpc.net.peers import Remote
from actorrpc.net.sockets import PlainSocket
from actorrpc.pb import control_pb2


class End:
    """One end of a link. What is sent first waits here, then in the kernel, then it is received."""

    def __init__(self) -> None:
        self.other: End
        self.closed = False
        self.unsent: deque[tuple[Any, tuple[int, ...], Callable[[], None] | None]] = deque()
        self.kernel: deque[tuple[Any, tuple[int, ...]]] = deque()

    def send(self, message: Any, fds: tuple[int, ...] = (), then: Callable[[], None] | None = None) -> bool:
        if self.closed or self.other.closed:
            return False
        self.unsent.append((message, tuple(map(os.dup, fds)), then))
        return True

    def flush(self) -> None:
        """The kernel takes the first of what waits."""
        if self.unsent:
            message, fds, then = self.unsent.popleft()
            self.kernel.append((message, fds))
            if then is not None:
                then()

    def close(self) -> None:
        self.closed = True
        for _, fds, *_ in [*self.unsent, *self.other.kernel]:
            for fd in fds:
                os.close(fd)
        self.unsent.clear()
        self.other.kernel.clear()


class Hub:
    """One side: what it serves, and what it has been given back."""

    def __init__(self, room: int) -> None:
        self.end = End()
        self.room = room
        self.served: list[str] = []
        self.back: list[str] = []
        self.passing = Passing(
            has_room=lambda: len(self.served) + self.passing.arriving < self.room,
            serve=self._serve,
            back=lambda pending: (self.back.append(pending.remote.peer), pending.sock.close()),
            news=lambda: None,
        )

    def _serve(self, sock: socket.socket, remote: Remote) -> None:
        self.served.append(remote.peer)
        sock.close()

    def receive(self) -> None:
        if self.end.other.kernel and not self.end.closed:
            message, fds = self.end.other.kernel.popleft()
            self.passing.receive(0, message, fds)

    def lose(self) -> None:
        """Read what is there, and see the end."""
        while self.end.other.kernel:
            self.receive()
        self.passing.lost(0, self.end)


@pytest.fixture
def pair() -> tuple[Hub, Hub]:
    giver, taker = Hub(0), Hub(5)
    giver.end.other, taker.end.other = taker.end, giver.end
    for hub in (giver, taker):
        hub.passing.add(0, hub.end)
    return giver, taker


def pending(number: int) -> PendingConnection:
    with socket.socket() as sock:
        return PendingConnection(
            PlainSocket(fileno=os.dup(sock.fileno())), Remote(str(number)), spread=False, since=0.0
        )


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("dies", ["taker", "link", "reader", "nobody"])
@pytest.mark.parametrize("seed", range(40))
def test_each_connection_has_one_owner(pair: tuple[Hub, Hub], dies: str, seed: int) -> None:
    rng = random.Random(seed)
    giver, taker = pair
    before = descriptors()
    given: list[str] = []

    def give() -> None:
        one = pending(len(given))
        given.append(one.remote.peer)
        assert giver.passing.give(0, one)

    steps = [give, giver.end.flush, taker.end.flush, giver.receive, taker.receive]
    for _ in range(rng.randrange(60)):
        rng.choice(steps)()
    if dies == "nobody":
        while giver.end.unsent or taker.end.unsent or giver.end.kernel or taker.end.kernel:
            for step in steps[1:]:
                step()
        assert sorted(giver.back + taker.served) == sorted(given)
    elif dies == "link":
        # Each side reads what the kernel has, and answers into nothing.
        giver.end.unsent.clear(), taker.end.unsent.clear()
        for hub in (taker, giver):
            hub.end.send = lambda *_, **__: False  # type: ignore[method-assign]
        taker.lose()
        giver.lose()
        assert sorted(giver.back + taker.served) == sorted(given)
        return  # what was cleared kept descriptors
    elif dies == "reader":
        # The giver cannot read what has come: it may have been TAKEN.
        back = [*giver.back]
        giver.end.close()
        giver.passing.lost(0, giver.end, broken=True)
        taker.end.send = lambda *_, **__: False  # type: ignore[method-assign]
        taker.lose()
        taker.end.close()
        assert giver.back == back
        assert not set(giver.back) & set(taker.served)
    else:
        taker.end.close()
        taker.passing.close()
        giver.lose()
        giver.end.close()
        assert sorted(giver.back + answered(giver, given)) == sorted(given)
        assert set(answered(giver, given)) <= set(taker.served), "what was taken had an owner"
        assert not set(giver.back) & set(taker.served)
    assert not giver.passing.neighbours or not giver.passing.neighbours[0].leaving
    assert descriptors() == before


def answered(giver: Hub, given: list[str]) -> list[str]:
    """Those that the giver let go of."""
    return [peer for peer in given if peer not in giver.back]


def test_what_comes_too_late_changes_nothing(pair: tuple[Hub, Hub]) -> None:
    giver, _ = pair
    for answer in (
        control_pb2.HubToHub(taken=control_pb2.Taken(number=7)),
        control_pb2.HubToHub(declined=control_pb2.Declined(number=7)),
    ):
        giver.passing.receive(0, answer, ())
    assert giver.passing.estimates()[0].under_way == 0
    giver.passing.receive(0, control_pb2.HubToHub(), ())
    giver.passing.receive(9, answer, ())
    assert giver.passing.estimates()[0].under_way == 0


def test_a_hub_that_is_not_heard_is_left_out_until_it_is(pair: tuple[Hub, Hub]) -> None:
    giver, taker = pair
    told = control_pb2.HubToHub(occupancy=control_pb2.Occupancy(connections=1))
    giver.passing.receive(0, told, ())
    assert giver.passing.estimates()[0].open
    for _ in range(5):
        giver.passing.tick()
    assert not giver.passing.estimates()[0].open
    giver.passing.receive(0, told, ())
    assert giver.passing.estimates()[0].open
    giver.passing.give(0, pending(1))
    for _ in range(3):
        giver.passing.tick()
        giver.passing.receive(0, told, ())
    assert not giver.passing.estimates()[0].open, "it leaves one unanswered"
    giver.end.flush()
    taker.receive()
    taker.end.flush()
    giver.receive()
    assert giver.passing.estimates()[0].open
    assert taker.served == ["1"]
