"""The load of a hub, from readings of clocks."""

from __future__ import annotations

import pytest

from actorrpc.hub.metering.loop_lag import LoopLag


def test_cpu_is_a_share_of_the_time_since_the_last_report() -> None:
    meter = LoopLag(0.05, now=100.0, cpu=7.0)
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
    meter = LoopLag(0.05, now=0.0, cpu=0.0)
    for now in ticks:
        meter.tick(now)
    assert meter.take(1.0, 0.0)[1] == pytest.approx(lag)
    assert meter.take(2.0, 0.0)[1] == 0.0


def ticked(*lags: float) -> LoopLag:
    meter = LoopLag(0.05, now=0.0, cpu=0.0)
    now = 0.0
    for lag in lags:
        now += 0.05 + lag
        meter.tick(now)
    return meter


@pytest.mark.parametrize(
    ("lags", "p99"),
    [
        ([], 0.0),
        ([0.0] * 200, 0.0),
        ([0.001] * 197 + [0.04] * 3, 40.0),
        ([0.001] * 198 + [0.04] * 2, 1.0),
        ([0.04] * 200 + [0.001] * 200, 1.0),  # ten seconds ago
    ],
)
def test_the_percentile_of_the_lag_is_of_the_last_ten_seconds(lags: list[float], p99: float) -> None:
    assert ticked(*lags).lag_p99_ms == pytest.approx(p99, abs=1e-6)


def test_one_long_hold_of_the_loop_counts_for_all_that_had_to_wait() -> None:
    """A second in which nothing ran is a tenth of all moments, and not one late tick of two hundred."""
    assert ticked(*[0.0] * 180, 1.0).lag_p99_ms == pytest.approx(900, abs=1)
    assert ticked(60.0).lag_p99_ms > 50_000
