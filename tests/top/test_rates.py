"""Calls a second, from counts that hubs report."""

from __future__ import annotations

from actorrpc.cli.top.rates import OVER, Rates
from tests.top.pictures import hub, picture


def learnt(*counts: tuple[float, int, int]) -> Rates:
    """From answers at these times, of a hub's process with a serial and a count."""
    rates = Rates()
    for at, serial, calls in counts:
        rates.learn(picture(at=at, hubs=[hub(0, serial=serial, calls=calls)]))
    return rates


def test_one_answer_is_no_rate() -> None:
    assert learnt((1.0, 1001, 500)).of(1001) is None
    assert learnt((1.0, 1001, 500), (1.0, 1001, 500)).of(1001) is None
    assert learnt().of(1001) is None
    assert learnt().of(None) is None


def test_what_lies_between_two() -> None:
    rates = learnt((1.0, 1001, 500), (3.0, 1001, 900))
    assert rates.of(1001) == 200
    assert rates.total() == 200


def test_only_the_last_seconds_count() -> None:
    rates = learnt(*[(float(at), 1001, 0) for at in range(10)], (10.0, 1001, 400))
    assert rates.of(1001) == 400 / OVER


def test_another_process_counts_anew() -> None:
    rates = learnt((1.0, 1001, 500), (2.0, 1001, 600), (3.0, 1003, 10))
    assert rates.of(1003) is None
    assert rates.of(1001) is None


def test_a_hub_without_a_process() -> None:
    rates = Rates()
    rates.learn(picture(hubs=[hub(0, serial=None, pid=None, state="restarting")]))
    assert rates.total() == 0
