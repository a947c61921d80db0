"""How long clients have waited, by the queue's length alone; and a model in which their ages are known."""

from __future__ import annotations

import random
from collections import deque

import pytest

from actorrpc.hub.accepting.queue_age import QueueAge


def test_who_was_there_at_the_first_look_is_overdue_first() -> None:
    age = QueueAge()
    age.look(0.0, 3)
    age.look(5.0, 5)
    assert age.overdue(9.9, 10) == 0
    assert age.overdue(10.0, 10) == 3
    assert age.overdue(15.0, 10) == 5


def test_those_taken_meanwhile_count() -> None:
    age = QueueAge()
    age.look(0.0, 3)
    age.take()
    age.look(1.0, 4)  # two more have come
    assert age.overdue(10.0, 10) == 2
    age.take()
    age.take()
    assert age.overdue(10.0, 10) == 0
    assert age.overdue(11.0, 10) == 2


def test_how_long_the_next_one_has_waited() -> None:
    age = QueueAge()
    assert age.waited(1.0) == 0.0
    age.look(1.0, 1)
    age.look(3.0, 2)
    assert age.waited(4.0) == 3.0
    age.take()
    assert age.waited(4.0) == 1.0
    age.take()
    assert age.waited(9.0) == 0.0


def test_another_process_takes_from_the_queue_too() -> None:
    age = QueueAge()
    age.look(0.0, 10)
    age.look(1.0, 4)
    assert age.overdue(10.0, 10) == 4
    age.look(2.0, 6)
    assert age.overdue(10.0, 10) == 4


def test_more_are_taken_than_were_seen() -> None:
    age = QueueAge()
    age.look(0.0, 1)
    for _ in range(3):
        age.take()
    age.look(1.0, 2)
    assert age.overdue(11.0, 10) == 2


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_overdue_before_the_time_and_everybody_soon_after(seed: int) -> None:
    """A queue whose members' ages are known, with random arrivals and departures."""
    rng = random.Random(seed)
    age, queue, now, patience, looked = QueueAge(), deque[float](), 0.0, 10.0, 0.0
    for _ in range(2000):
        now += rng.expovariate(5)
        if rng.random() < 0.6:
            queue.append(now)
        if queue and rng.random() < 0.3:
            if age.waited(now):
                assert age.waited(now) <= now - queue[0]
            queue.popleft()
            age.take()
        if now - looked >= 0.25:
            gap, looked = now - looked, now
            age.look(now, len(queue))
            overdue = age.overdue(now, patience)
            assert overdue <= sum(1 for came in queue if now - came >= patience)
            assert overdue >= sum(1 for came in queue if now - came >= patience + 2 * gap + 1.5)
            for _ in range(overdue):
                queue.popleft()
                age.take()
