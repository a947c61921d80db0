"""How many restarts are too many: a pure count."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from actorrpc.broker.processes.hub_slot import restart_delay
from actorrpc.broker.processes.restarts import Restarts
from actorrpc.config import Config
from actorrpc.errors import TooManyRestarts


def restart(intensity: int, period: float, times: Sequence[float]) -> list[float]:
    """When restarts, at these times, were too many."""
    config = Config(restart_intensity=intensity, restart_period=period)
    restarts = Restarts(lambda: config)
    refused = []
    for time in times:
        try:
            restarts.count(time, "it died")
        except TooManyRestarts:
            refused.append(time)
    return refused


@pytest.mark.parametrize(
    ("intensity", "period", "times", "refused"),
    [
        (0, 10, range(1000), []),
        (2, 10, [1, 2], []),
        (2, 10, [1, 2, 3], [3]),
        (2, 10, [1, 2, 11], [11]),  # the first is just within the period
        (2, 10, [1, 2, 11.5], []),
        (2, 10, [1, 2, 11.5, 11.75], [11.75]),
        (1, 0, [1, 2, 3], []),
        (1, 0, [1, 1], [1]),
    ],
)
def test_which_restarts_are_too_many(
    intensity: int, period: float, times: Sequence[float], refused: list[float]
) -> None:
    assert restart(intensity, period, times) == refused


def test_what_a_hub_costs_that_dies_at_once() -> None:
    """As docs/operate/supervision.md says."""
    now, times = 0.0, [0.0]
    for death in range(1, 30):
        now += restart_delay(death)
        times.append(now)
    assert [sum(minute <= time / 60 < minute + 1 for time in times) for minute in range(3)] == [12, 6, 6]
    assert restart(20, 60, times) == []


def test_it_is_said_how_many_there_were_and_why() -> None:
    config = Config(restart_intensity=1)
    restarts = Restarts(lambda: config)
    restarts.count(1, "hub 0 was killed by SIGKILL")
    with pytest.raises(TooManyRestarts) as raised:
        restarts.count(2, "hub 1 exited with status 3")
    assert str(raised.value) == (
        "hubs ended 2 times within 60 s, and at most 1 restarts are allowed (--restart-intensity, "
        "--restart-period); the last: hub 1 exited with status 3"
    )


def test_what_is_too_many_is_asked_each_time() -> None:
    """A reload may have changed it."""
    config = Config()
    restarts = Restarts(lambda: config)
    for _ in range(5):
        restarts.count(1, "it died")
    config = Config(restart_intensity=2)
    restarts.count(2, "it died")
    restarts.count(2, "it died")
    with pytest.raises(TooManyRestarts, match="at most 2"):
        restarts.count(2, "it died")
    config = Config(restart_intensity=3, restart_period=0.5)
    restarts.count(3, "it died")
