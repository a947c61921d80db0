"""Titles of processes: what is shown, and that nothing is needed for them."""

from __future__ import annotations

import sys

import pytest

from actorrpc.titles import Title


def test_a_title_is_set_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("setproctitle.setproctitle", shown.append)
    title = Title("hub 3")
    for what in (", 1 connection, 0 %", ", 1 connection, 0 %", ", 2 connections, 0 %"):
        title.show(what)
    assert shown == [
        "actorrpc: hub 3, starting",
        "actorrpc: hub 3, 1 connection, 0 %",
        "actorrpc: hub 3, 2 connections, 0 %",
    ]


def test_without_setproctitle_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "setproctitle", None)
    Title("hub 3").show(", 1 connection, 0 %")
