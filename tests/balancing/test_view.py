"""What the history of moves remembers."""

from __future__ import annotations

from actorrpc.balancing import view as balancer
from actorrpc.balancing.view import History, Move


def move(connection: str, source: int = 0, target: int = 1) -> Move:
    return Move(connection, source, target, "because")


def test_a_move_is_in_flight_until_it_ends() -> None:
    history = History()
    history.begun(move("a"), 1.0)
    assert list(history.in_flight) == ["a"]
    history.ended("a", 2.0, "a turn runs")
    assert not history.in_flight
    (past,) = history.past
    assert (past.began, past.ended, past.aborted) == (1.0, 2.0, "a turn runs")
    assert history.last["a"] is past and history.count == 1


def test_the_end_of_a_move_that_was_not_begun_is_nothing() -> None:
    history = History()
    history.ended("a", 2.0)
    assert not history.past and history.count == 0


def test_what_ended_since() -> None:
    history = History()
    for name in "abc":
        history.begun(move(name), 0.0)
        history.ended(name, 1.0)
    assert [past.move.connection for past in history.since(1)] == ["b", "c"]
    assert history.since(3) == []


def test_old_moves_are_forgotten() -> None:
    history = History()
    for number in range(balancer.KEPT + 2):
        history.begun(move(str(number)), 0.0)
        history.ended(str(number), 1.0)
    assert len(history.past) == len(history.last) == balancer.KEPT
    assert "1" not in history.last and "2" in history.last
    assert len(history.since(0)) == balancer.KEPT
    assert history.count == balancer.KEPT + 2
