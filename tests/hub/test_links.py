"""The links of a hub: what each is known by, and what is told when one ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.queue import Queue

from actorrpc.config import Config
from actorrpc.hub.links import HubLink, Links
from actorrpc.pb.control_pb2 import Abort, HubToHub
from actorrpc.testing.hubs import Hubs
from tests.apps.shapes import app
from tests.support.waiting import PATIENCE, until


class Linked:
    """Links to process 7, and what is told of them."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        #: The number of each link that has ended, whether it had broken, and whether there is no other.
        self.lost: Queue[tuple[int, bool, bool]] = Queue()
        self.links = Links({"abort": self._hear}, lambda serial: None, self._lose)

    def _hear(self, serial: int, link: HubLink, message: HubToHub, fds: tuple[int, ...]) -> None:
        self.heard.append(message.abort.why)

    def _lose(self, serial: int, link: HubLink, gone: bool) -> None:
        self.lost.put((link.number, link.broken, gone))

    def add(self, number: int) -> Linked:
        """Give it a link. Returns who has the other end, with the same number."""
        ours, theirs = socket.socketpair()
        other = Linked()
        other.links.add(0, theirs, 0, number=number)
        self.links.add(7, ours, 1, number=number)
        return other

    def say(self, why: str) -> None:
        self.links.send(0, HubToHub(abort=Abort(why=why)))


@pytest.fixture
def linked() -> Iterator[Linked]:
    linked = Linked()
    yield linked
    linked.links.close()


def test_links_are_known_by_their_numbers(linked: Linked) -> None:
    linked.add(5)
    assert linked.links.numbers == {7: 5}


def test_a_link_that_ends_is_read_to_its_end(linked: Linked) -> None:
    other = linked.add(5)
    other.say("last words")
    other.links.close()
    assert linked.lost.get(timeout=PATIENCE) == (5, False, True)
    assert linked.heard == ["last words"]
    assert linked.links.numbers == {}


def test_a_link_that_has_ended_is_replaced(linked: Linked) -> None:
    other = linked.add(5)
    other.say("last words")
    other.links.close()
    linked.add(6)  # before the loop has come to see the end of the other
    assert linked.lost.get_nowait() == (5, False, False)
    assert linked.heard == ["last words"]
    assert linked.links.numbers == {7: 6}


def test_a_link_that_is_replaced_while_it_lives_may_have_had_more_to_say(linked: Linked) -> None:
    other = linked.add(5)
    linked.add(6)
    assert linked.lost.get_nowait() == (5, True, False)
    assert other.lost.get(timeout=PATIENCE) == (5, False, True)
    assert linked.lost.empty()


@pytest.fixture
def hubs() -> Iterator[Hubs]:
    hubs = Hubs(app, Config(), 2)
    yield hubs
    hubs.close()


def test_the_end_of_a_link_is_told(hubs: Hubs) -> None:
    heard: Queue[tuple[int, int]] = Queue()
    node: Any = hubs.nodes[0]
    node._on_unlinked = lambda *what: heard.put(what)
    node.links.by_serial[1].number = 9
    hubs.nodes[1].links.close()
    assert heard.get(timeout=PATIENCE) == (1, 9)


def test_who_stops_does_not_ask_for_another(hubs: Hubs) -> None:
    heard: list[Any] = []
    node: Any = hubs.nodes[0]
    node._on_unlinked = lambda *what: heard.append(what)
    node._stopped = lambda: None
    hubs.nodes[1].links.close()
    until(lambda: not node.links.by_serial, sleep=gevent.sleep)
    assert heard == []
