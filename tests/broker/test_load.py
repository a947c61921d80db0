"""The load of a hub, from readings of clocks."""

from __future__ import annotations

import pytest

from actorrpc.hub.load import LoadMeter


def test_cpu_is_a_share_of_the_time_since_the_last_report() -> None:
    meter = LoadMeter(0.05, now=100.0, cpu=7.0)
    assert meter.take(now=100.25, cpu=7.1)[0] == pytest.approx(0.4)
    assert meter.take(now=100.75, cpu=7.1)[0] == 0.0
    assert meter.take(now=100.75, cpu=7.2)[0] == 0.0  # no time has passed


@pytest.mark.parametrize(
    ("ticks", "lag"),
    [
        ([0.05, 0.10, 0.15], 0.0),
        ([0.05, 0.12, 0.15], 20.0),  # late, then early
        ([0.35, 0.40, 0.47], 300.0),
        ([], 0.0),
    ],
)
def test_lag_is_the_worst_lateness_of_a_tick(ticks: list[float], lag: float) -> None:
    meter = LoadMeter(0.05, now=0.0, cpu=0.0)
    for now in ticks:
        meter.tick(now)
    assert meter.take(1.0, 0.0)[1] == pytest.approx(lag)
    assert meter.take(2.0, 0.0)[1] == 0.0
