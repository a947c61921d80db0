"""What is told about moves."""

from __future__ import annotations

from actorrpc.broker.moves import KEPT_PAUSES, MoveStatistics
from actorrpc.pb.control_pb2 import Moved


def test_nothing_has_moved() -> None:
    assert MoveStatistics().summary() == {"done": 0, "aborted": 0, "pause_ms_p50": 0.0, "pause_ms_p99": 0.0}


def test_counts_and_percentiles() -> None:
    moves = MoveStatistics()
    for pause in range(100, 0, -1):
        moves.record(Moved(pause_ms=pause))
    moves.record(Moved(aborted="a handler runs", pause_ms=1000))
    assert moves.summary() == {"done": 100, "aborted": 1, "pause_ms_p50": 50.0, "pause_ms_p99": 99.0}


def test_one_pause_is_all_percentiles() -> None:
    moves = MoveStatistics()
    moves.record(Moved(pause_ms=1.23456))
    assert moves.summary() == {"done": 1, "aborted": 0, "pause_ms_p50": 1.235, "pause_ms_p99": 1.235}


def test_old_pauses_are_forgotten() -> None:
    moves = MoveStatistics()
    for pause in [1000.0] * 50 + [1.0] * KEPT_PAUSES:
        moves.record(Moved(pause_ms=pause))
    assert moves.summary() == {
        "done": KEPT_PAUSES + 50,
        "aborted": 0,
        "pause_ms_p50": 1.0,
        "pause_ms_p99": 1.0,
    }
