"""Percentiles by the nearest rank."""

from __future__ import annotations

from actorrpc.percentile import percentile


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(each) for each in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (0, 50, 99)] == [1, 2, 3]
