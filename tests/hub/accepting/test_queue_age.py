"""How long clients have waited, by the queue's length alone; and a model in which their ages are known."""

from __future__ import annotations

import random
from collections import deque

import pytest

from actorrpc.hub.accepting.queue_age import Backlog


def test_who_was_there_at_the_first_look_is_overdue_first() -> None:
    backlog = Backlog()
    backlog.look(0.0, 3)
    backlog.look(5.0, 5)
    assert backlog.overdue(9.9, 10) == 0
    assert backlog.overdue(10.0, 10) == 3
    assert backlog.overdue(15.0, 10) == 5


def test_those_taken_meanwhile_count() -> None:
    backlog = Backlog()
    backlog.look(0.0, 3)
    backlog.take()
    backlog.look(1.0, 4)  # two more have come
    assert backlog.overdue(10.0, 10) == 2
    backlog.take()
    backlog.take()
    assert backlog.overdue(10.0, 10) == 0
    assert backlog.overdue(11.0, 10) == 2


def test_how_long_the_next_one_has_waited() -> None:
    backlog = Backlog()
    assert backlog.waited(1.0) == 0.0
    backlog.look(1.0, 1)
    backlog.look(3.0, 2)
    assert backlog.waited(4.0) == 3.0
    backlog.take()
    assert backlog.waited(4.0) == 1.0
    backlog.take()
    assert backlog.waited(9.0) == 0.0


def test_another_process_takes_from_the_queue_too() -> None:
    backlog = Backlog()
    backlog.look(0.0, 10)
    backlog.look(1.0, 4)
    assert backlog.overdue(10.0, 10) == 4
    backlog.look(2.0, 6)
    assert backlog.overdue(10.0, 10) == 4


def test_more_are_taken_than_were_seen() -> None:
    backlog = Backlog()
    backlog.look(0.0, 1)
    for _ in range(3):
        backlog.take()
    backlog.look(1.0, 2)
    assert backlog.overdue(11.0, 10) == 2


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_overdue_before_the_time_and_everybody_soon_after(seed: int) -> None:
    """A queue whose members' ages are known, with random arrivals and departures."""
    rng = random.Random(seed)
    backlog, queue, now, patience, looked = Backlog(), deque[float](), 0.0, 10.0, 0.0
    for _ in range(2000):
        now += rng.expovariate(5)
        if rng.random() < 0.6:
            queue.append(now)
        if queue and rng.random() < 0.3:
            if backlog.waited(now):
                assert backlog.waited(now) <= now - queue[0]
            queue.popleft()
            backlog.take()
        if now - looked >= 0.25:
            gap, looked = now - looked, now
            backlog.look(now, len(queue))
            overdue = backlog.overdue(now, patience)
            assert overdue <= sum(1 for came in queue if now - came >= patience)
            assert overdue >= sum(1 for came in queue if now - came >= patience + 2 * gap + 1.5)
            for _ in range(overdue):
                queue.popleft()
                backlog.take()
