"""A recording: what is written is what is read."""

from __future__ import annotations

from pathlib import Path

from actorrpc.balancing.recording import move_line, report_line, reports
from tests.balancing.views import connection, hub


def test_what_is_written_is_read(tmp_path: Path) -> None:
    heavy = connection("0-1-1", 0.25, recent=0.5, move_ms=340.0, why="it is heavy", too_heavy=True)
    hubs = [hub(0, heavy, 0.125, others=[connection("0-1-2", 0.0625, group="room/1")], lag_ms=1.5)]
    path = tmp_path / "run.jsonl"
    path.write_text(report_line(1.5, hubs) + move_line(1.75, "0-1-1", 0, 1, "") + report_line(2.5, []))
    assert list(reports(str(path))) == [(1.5, hubs), (2.5, [])]
