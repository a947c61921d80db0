"""Pairs of hubs where moves fail: what teaches a policy to leave them alone, and what does not."""

from __future__ import annotations

from actorrpc.balancing.policies.throttling import Backoff
from actorrpc.balancing.view import History, Move, Past

MOVE = Move("0-1-1", 0, 1, "a reason")


def test_a_pair_whose_move_was_aborted_is_left_alone() -> None:
    backoff = Backoff(10.0, 100.0)
    backoff.learn(Past(MOVE, 0.0, 1.0, "the target did not answer"))
    assert backoff.blocked(0, 1, 10.0)
    assert not backoff.blocked(1, 0, 10.0)
    assert not backoff.blocked(0, 1, 11.0)


def test_what_lies_with_the_connection_teaches_nothing_of_the_pair() -> None:
    backoff = Backoff(10.0, 100.0)
    backoff.learn(Past(MOVE, 0.0, 1.0, "the connection was closed", of_connection=True))
    assert not backoff.blocked(0, 1, 2.0)
    backoff.learn(Past(MOVE, 0.0, 1.0, "the target did not answer"))
    backoff.learn(Past(MOVE, 1.0, 2.0, "the connection was closed", of_connection=True))
    assert backoff.blocked(0, 1, 10.0), "nor that it is well again"


def test_the_history_tells_it() -> None:
    history = History()
    history.begun(MOVE, 0.0)
    history.ended(MOVE.connection, 1.0, "the connection was closed", of_connection=True)
    assert history.past[0].of_connection
