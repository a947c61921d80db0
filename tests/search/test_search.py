"""One search, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.directory.names import Location
from actorrpc.hub.search import departures, search
from actorrpc.hub.search.departures import KEPT, Departures
from actorrpc.hub.search.search import MAX_REMEMBERED, PATIENCE, Search
from actorrpc.pb.control_pb2 import ConnectionFound, FindConnection, HubToHub, KeyOwner
from tests.support.clock import Clock

OWN = 5
#: A connection that hub 1 has accepted.
ID = "0-1-7"


class Asker:
    """Hub 5, with links to hubs 1 and 2; what it says is noted, and a test says the answers."""

    def __init__(self, *linked: int) -> None:
        self.said: list[tuple[int, HubToHub]] = []
        self.linked = {*(linked or (1, 2))}
        self.unable: set[int] = set()
        self.silent: set[int] = set()
        self.own: Location | None = None
        self.found: list[Any] = []
        self.search = Search(OWN, self, lambda id, then: then(self.own), lambda: self.silent)
        self.search.joined()

    def send(self, serial: int, message: HubToHub) -> None:
        self.said.append((serial, message))

    def known(self) -> set[int]:
        return self.linked

    def can_search(self, serial: int) -> bool:
        return serial not in self.unable

    def find(self, id: str = ID, stale: Location | None = None) -> None:
        self.search.find(id, self.found.append, stale=stale)

    @property
    def asked(self) -> list[int]:
        return sorted(serial for serial, _ in self.said)

    def answer(self, serial: int, **outcome: Any) -> None:
        """A hub answers what it was asked last."""
        number = [message.find_connection.request for each, message in self.said if each == serial][-1]
        self.search.receive(
            serial,
            HubToHub(connection_found=ConnectionFound(request=number, **(outcome or {"unknown": True}))),
        )

    def moved(self, serial: int, to: int, epoch: int) -> None:
        self.answer(serial, moved=KeyOwner(hub=to, epoch=epoch))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    yield Clock(monkeypatch, (search, departures))


pytestmark = pytest.mark.usefixtures("clock")


def test_what_is_here_is_asked_of_nobody() -> None:
    asker = Asker()
    asker.own = Location(OWN, 3)
    asker.find()
    assert (asker.found, asker.said) == ([Location(OWN, 3)], [])


def test_who_has_it_says_so_and_that_is_remembered() -> None:
    asker = Asker()
    asker.find()
    assert (asker.asked, asker.found) == ([1, 2], [])
    asker.find()  # while it is looked for
    asker.answer(2, here=4)
    assert asker.found == [Location(2, 4)] * 2
    asker.answer(1)  # too late
    asker.find()
    assert asker.found == [Location(2, 4)] * 3 and asker.asked == [1, 2]
    asker.find(stale=Location(2, 3))
    assert asker.found == [Location(2, 4)] * 4, "what is stale is older"
    asker.find(stale=Location(2, 4))
    assert asker.asked == [1, 1, 2, 2]


def test_all_know_nothing_so_it_has_ended_for_ever() -> None:
    asker = Asker()
    asker.find()
    asker.answer(1)
    assert asker.found == []
    asker.answer(2)
    asker.find()
    asker.find(stale=Location(1, 2))
    assert asker.found == [None] * 3 and asker.asked == [1, 2]


def test_where_it_went_is_asked_again() -> None:
    asker = Asker()
    asker.find()
    asker.answer(2)
    asker.moved(1, 2, 8)
    assert asker.asked == [1, 2, 2] and asker.found == []
    asker.moved(2, 1, 7)  # before that: it has come back since
    assert asker.found == [None]


def test_an_answer_to_an_earlier_question_is_none() -> None:
    asker = Asker()
    asker.find()
    first = asker.said[-1][1].find_connection.request
    asker.moved(1, 2, 8)
    asker.search.receive(2, HubToHub(connection_found=ConnectionFound(request=first, unknown=True)))
    assert asker.found == []
    asker.answer(2, here=8)
    assert asker.found == [Location(2, 8)]


def test_an_answer_of_another_hub_is_none() -> None:
    asker = Asker(1)
    asker.find()
    number = asker.said[0][1].find_connection.request
    asker.search.receive(2, HubToHub(connection_found=ConnectionFound(request=number, here=3)))
    assert asker.found == []


def test_it_has_come_here_meanwhile() -> None:
    asker = Asker()
    asker.find()
    asker.own = Location(OWN, 9)
    asker.moved(1, OWN, 9)
    assert asker.found == [Location(OWN, 9)]


@pytest.mark.parametrize("dies", [True, False])
def test_a_hub_that_ends_in_the_round_has_all_asked_again(dies: bool) -> None:
    """Also one that had answered: it may have been given the connection since, and have given it away."""
    asker = Asker()
    asker.find()
    asker.answer(1)
    if dies:
        asker.linked.remove(1)
        asker.search.unlinked(1)
        asker.search.died(1)
    else:
        asker.search.parted(1)
    assert asker.asked == [1, 2, 2]
    asker.moved(2, 1, 4)  # which is dead
    assert asker.found == [None]


def test_a_hub_without_a_link_is_waited_for_until_it_is_dead_or_there_is_one(clock: Clock) -> None:
    asker = Asker()
    asker.linked.remove(1)
    asker.search.unlinked(1)
    asker.find()
    asker.answer(2)
    assert asker.found == []
    asker.linked.add(1)
    asker.search.linked(1)
    asker.answer(2)
    asker.answer(1, here=1)
    assert asker.found == [Location(1, 1)]
    asker.linked.remove(1)
    asker.search.unlinked(1)
    asker.find()
    assert asker.found == [Location(1, 1)], "it is not gone by what was remembered of it"
    asker.answer(2)
    asker.search.died(1)
    asker.answer(2)
    assert asker.found == [Location(1, 1), None]


def test_a_link_that_breaks_in_the_round(clock: Clock) -> None:
    asker = Asker()
    asker.find()
    asker.answer(2)
    asker.linked.remove(1)
    asker.search.unlinked(1)
    assert asker.found == []
    clock.fire()
    (error,) = asker.found
    assert isinstance(error, RpcError) and error.code is StatusCode.UNAVAILABLE
    assert "there is no link to hub 1, which may have it" in error.message


def test_who_does_not_answer_in_time(clock: Clock) -> None:
    asker = Asker()
    asker.find()
    asker.answer(1)
    began = clock.now
    clock.fire()
    assert clock.now == began + PATIENCE
    assert "hub 2 does not answer, and may have it" in asker.found[0].message
    asker.find()
    assert asker.asked == [1, 1, 2, 2], "that is not remembered"


def test_who_is_known_to_be_silent_is_not_waited_for() -> None:
    asker = Asker()
    asker.silent = {2}
    asker.find()
    assert asker.found == []
    asker.answer(1)
    assert "hub 2 does not answer" in asker.found[0].message
    asker.find()
    asker.answer(1, here=2)
    assert asker.found[1] == Location(1, 2), "if another has it, nobody minds"


def test_one_that_falls_silent_in_the_round() -> None:
    asker = Asker()
    asker.find()
    asker.answer(1)
    asker.silent = {2}
    asker.search.silences()
    assert "hub 2 does not answer" in asker.found[0].message


def test_who_answers_names_hubs_that_the_asker_does_not_know() -> None:
    asker = Asker()
    asker.find()
    asker.answer(1, unknown=True, others=[9, OWN, 2])
    asker.answer(2)
    assert asker.found == []
    asker.linked.add(9)
    asker.search.linked(9)
    asker.answer(9, here=2)
    assert asker.found == [Location(9, 2)]


def test_which_those_are() -> None:
    asker = Asker(1, 2, 3)
    question = HubToHub(find_connection=FindConnection(request=4, connection=ID, known=[1, OWN]))
    asker.search.receive(1, question)
    ((to, message),) = asker.said
    found = message.connection_found
    assert (to, found.request, found.unknown, [*found.others]) == (1, 4, True, [2, 3])


def test_a_connection_of_a_hub_that_is_not_known_yet() -> None:
    asker = Asker()
    asker.find("0-6-1")
    asker.answer(1), asker.answer(2)
    assert asker.found == [], "hub 6 came after this one, and may be about to be introduced"
    asker.linked.add(6)
    asker.search.linked(6)
    asker.answer(6, here=1)
    assert asker.found == [Location(6, 1)]
    asker.find("0-3-1")
    asker.answer(1), asker.answer(2), asker.answer(6)
    assert asker.found[1:] == [None], "hub 3 came before, and was dead then"


def test_before_it_knows_the_others_nothing_has_ended(clock: Clock) -> None:
    asker = Asker()
    asker.search._joined = False
    asker.find()
    asker.answer(1), asker.answer(2)
    assert asker.found == []
    asker.search.joined()
    asker.answer(1), asker.answer(2)
    assert asker.found == [None]


def test_a_version_that_cannot_be_asked_may_have_it() -> None:
    asker = Asker()
    asker.unable = {2}
    asker.find()
    assert asker.asked == [1]
    asker.moved(1, 2, 4)
    assert "hub 2 may have it, whose version of actorrpc knows no calls" in asker.found[0].message


def test_a_round_that_takes_long_is_done_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process was stopped, say: a hub that it has left meanwhile may have forgotten that."""
    asker = Asker(1)
    asker.find()
    clock.now += KEPT / 2 + 1
    asker.answer(1)
    assert asker.found == [] and asker.asked == [1, 1]
    asker.answer(1)
    assert asker.found == [None]


def test_a_flood_of_searches_costs_one_and_keeps_a_bounded_memory() -> None:
    asker = Asker()
    for _ in range(1000):
        asker.find()
    assert asker.asked == [1, 2]
    asker.answer(1), asker.answer(2)
    for _ in range(1000):
        asker.find()
    assert asker.asked == [1, 2] and asker.found == [None] * 2000
    asker.linked.clear()
    for number in range(MAX_REMEMBERED + 100):
        asker.find(f"0-1-{number}")
    assert len(asker.search._ended) == MAX_REMEMBERED
    assert not asker.search._rounds and not asker.search._questions


def test_departures_are_known_for_a_minute(clock: Clock) -> None:
    left = Departures()
    left.add("a", Location(1, 2))
    clock.now += 30
    left.add("b", Location(1, 2))
    left.add("a", Location(2, 4))
    assert left.find("a") == Location(2, 4) and left.find("c") is None
    clock.fire()
    assert len(left) == 2, "the first was noted anew"
    clock.fire()
    assert (left.find("a"), left.find("b")) == (None, None)
    assert clock.next() is None
