"""Who is introduced to whom, and again when a link between two that live has broken: never for the dead,
never in a hurry, and never twice for one link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from actorrpc.broker.processes.hub_process import QUICK
from actorrpc.broker.sharing import introductions as introductions_module
from actorrpc.broker.sharing.introductions import Introductions


class FakeProcess:
    """A hub's process, as far as others are introduced to it."""

    def __init__(self, serial: int) -> None:
        self.hub = self.serial = serial
        self.exit_code: int | None = None
        self.stopping = False


class Made:
    """Introductions among processes, and what has been made of them. Time passes when a test says so."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        patch.setattr(introductions_module.time, "monotonic", lambda: self.now)
        self.processes: list[Any] = [FakeProcess(serial) for serial in range(3)]
        #: Those who have been introduced, in order, and their numbers.
        self.pairs: list[tuple[int, int]] = []
        self.numbers: list[int] = []
        #: What is to come, and after how many seconds.
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.failing = False
        self.introductions = Introductions(self._introduce, lambda *event: self.due.append(event))

    def _introduce(self, one: Any, other: Any, number: int) -> None:
        if self.failing:
            raise OSError("out of file descriptors")
        self.pairs.append((one.serial, other.serial))
        self.numbers.append(number)

    def make(self, one: int, other: int) -> bool:
        return self.introductions.make(self.processes[one], self.processes[other])

    def broken(self, one: int, other: int, number: int | None = None) -> None:
        """By default it is the last link that was made."""
        number = self.numbers[-1] if number is None else number
        self.introductions.broken(self.processes[one], self.processes[other], number)

    def wait(self) -> float:
        """What is due happens. Returns after how many seconds."""
        ((seconds, event),) = self.due
        self.due.clear()
        self.now += seconds
        event()
        return seconds


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(monkeypatch)


def test_a_link_that_has_broken_is_made_again_with_another_number(made: Made) -> None:
    assert made.make(0, 1)
    made.broken(1, 0)
    assert made.pairs == [(0, 1)]  # not before it has waited
    made.wait()
    assert made.pairs == [(0, 1), (1, 0)]
    assert len({*made.numbers}) == 2
    assert all(0 < number < 2**63 for number in made.numbers)
    assert made.introductions.numbers == {frozenset({0, 1}): made.numbers[1]}


def test_both_ends_say_so_and_one_link_is_made(made: Made) -> None:
    made.make(0, 1)
    made.broken(0, 1)
    made.broken(1, 0)
    made.wait()
    made.broken(1, 0, made.numbers[0])  # who says so last does not speak of the new one
    assert not made.due
    assert len(made.pairs) == 2


def test_what_is_said_without_a_number_is_said_of_the_present_link(made: Made) -> None:
    made.make(0, 1)
    made.broken(0, 1, 0)
    made.broken(1, 0, 0)
    made.wait()
    assert len(made.pairs) == 2


@pytest.mark.parametrize("when", ["before", "meanwhile", "and has been forgotten"])
def test_who_has_died_gets_no_link(made: Made, when: str) -> None:
    made.make(0, 1)
    if when == "before":
        made.processes[1].exit_code = -9
        made.broken(0, 1)
        assert not made.due
        return
    made.broken(0, 1)
    if when == "meanwhile":
        made.processes[1].exit_code = -9
    else:
        made.introductions.forget(1)
    made.wait()
    assert made.pairs == [(0, 1)]
    assert not made.due


@pytest.mark.parametrize("who", [0, 1])
def test_who_is_about_to_end_gets_none(made: Made, who: int) -> None:
    """It closes its links a moment before it exits."""
    made.make(0, 1)
    made.processes[who].stopping = True
    made.broken(1, 0)
    assert not made.due


def test_a_link_that_breaks_at_once_is_made_ever_more_seldom(made: Made) -> None:
    made.make(0, 1)
    waits = []
    for _ in range(9):
        made.broken(0, 1)
        waits.append(made.wait())
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    made.now += QUICK
    made.broken(0, 1)
    assert made.wait() == pytest.approx(0.1)


def test_pairs_wait_each_for_itself(made: Made) -> None:
    made.make(0, 1)
    for _ in range(3):
        made.broken(0, 1)
        made.wait()
    made.make(0, 2)
    made.broken(0, 2)
    assert made.wait() == pytest.approx(0.1)


def test_what_cannot_be_made_is_tried_again(made: Made) -> None:
    made.failing = True
    assert not made.make(0, 1)
    made.broken(0, 1, made.introductions.numbers[frozenset({0, 1})])  # one of them has got its half
    assert made.wait() == pytest.approx(0.1)
    assert made.wait() == pytest.approx(0.2)
    made.failing = False
    made.wait()
    assert made.pairs == [(0, 1)]
    assert not made.due


def test_links_that_another_broker_has_made_are_taken_over(made: Made) -> None:
    """Each says which it has; where both say the same, that is a link."""
    links: list[dict[int, int]] = [{1: 17, 2: 18}, {0: 17}, {0: 19}]
    for process, each in zip(made.processes, links, strict=True):
        made.introductions.report(process, each)
    made.introductions.complete(made.processes)
    assert made.pairs == [(0, 2), (1, 2)], "of one link a hub has had another half, and one was never made"
    assert made.introductions.numbers[frozenset({0, 1})] == 17
    made.broken(0, 1, 16)
    assert not made.due
    made.broken(0, 1, 17)
    assert made.wait() == pytest.approx(0.1)
    assert made.pairs[2:] == [(0, 1)]


def test_of_who_says_nothing_nothing_is_known_until_it_does(made: Made) -> None:
    links: list[dict[int, int]] = [{1: 17, 2: 18}, {0: 17, 2: 19}]
    for process, each in zip(made.processes, links, strict=False):
        made.introductions.report(process, each)
    made.introductions.complete(made.processes)
    assert made.pairs == []
    made.introductions.report(made.processes[2], {0: 18})
    made.introductions.complete(made.processes)
    assert made.pairs == [(1, 2)]


def test_two_who_have_never_been_introduced_are(made: Made) -> None:
    """As far as this broker knows: the one before may have done it."""
    made.broken(0, 1, 17)
    made.wait()
    assert made.pairs == [(0, 1)]


def test_repr_tells_who_has_no_link(made: Made) -> None:
    made.make(0, 1)
    made.make(0, 2)
    made.broken(0, 2)
    assert repr(made.introductions) == "<Introductions of 2 pairs, 1 of them without a link>"
