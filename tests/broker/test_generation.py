"""Where a generation of hubs works: the release that a link led to when it began."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorrpc.broker.deploying import generation
from actorrpc.broker.deploying.generation import Generation, working_directory
from actorrpc.config import Config


@pytest.fixture
def releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two releases and ``current``, a link to the first, which is the working directory."""
    tmp_path = tmp_path.resolve()
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    switch(tmp_path, "1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))  # as a shell does
    return tmp_path


def switch(releases: Path, to: str) -> None:
    """As a deployment does, in one step."""
    (releases / "next").symlink_to(to)
    (releases / "next").replace(releases / "current")


def test_the_working_directory_is_the_link(releases: Path) -> None:
    assert working_directory() == str(releases / "current")


@pytest.mark.parametrize("pwd", ["", "relative", "/", "/nowhere/at/all"])
def test_a_shells_word_for_it_that_is_wrong_is_not_believed(
    releases: Path, monkeypatch: pytest.MonkeyPatch, pwd: str
) -> None:
    monkeypatch.setenv("PWD", pwd)
    assert working_directory() == str(releases / "1")


def test_without_a_word_for_it_the_kernel_knows(releases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PWD")
    assert working_directory() == str(releases / "1")


def test_the_next_generation_works_where_the_link_leads_then(releases: Path) -> None:
    first = Generation.first("app:app", Config())
    assert (first.number, first.place) == (1, str(releases / "1"))
    switch(releases, "2")
    assert first.place == str(releases / "1"), "its hubs that start again find its own release"
    second = first.next(2, first.config)
    assert (second.number, second.place, second.app) == (2, str(releases / "2"), "app:app")
    switch(releases, "1")
    assert second.next(3, first.config).place == str(releases / "1"), "and back"


def test_what_has_been_removed_cannot_be_worked_in(releases: Path) -> None:
    first = Generation.first("app:app", Config())
    switch(releases, "2")
    (releases / "1").rmdir()
    assert Path(first.place).resolve() == releases / "2"


def test_started_later_it_still_knows_its_path(releases: Path) -> None:
    """The broker's own working directory is the first release, whatever the link leads to."""
    first = Generation.first("app:app", Config())
    switch(releases, "2")
    assert working_directory() != first.path, "the shell's word is wrong by now"
    assert first.next(2, first.config).place == str(releases / "2")


def test_another_broker_goes_on_with_it_and_finds_the_next_by_its_own_paths(
    releases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("1", "2"):
        (releases / release / "python").touch()
    monkeypatch.setattr(generation, "given_interpreter", lambda path: f"{path}/python")
    first = Generation.first("app:app", Config())
    switch(releases, "2")
    monkeypatch.chdir(releases / "current")
    adopted = Generation.from_message("app:app", first.to_message())
    assert adopted == first
    assert (adopted.place, adopted.python) == (str(releases / "1"), str(releases / "1/python"))
    second = adopted.next(2, adopted.config)
    assert (second.place, second.python) == (str(releases / "2"), str(releases / "2/python"))
