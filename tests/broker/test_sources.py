"""What is said of a hub that starts again in other files than its generation began with."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import gevent
import pytest

from actorrpc.broker.deploying import sources as module
from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.deploying.sources import Sources
from actorrpc.config import Config
from tests.support.waiting import until

ADVICE = "; `actorrpc reload` has all hubs run the same"


class Release:
    """A working directory with some files, by way of a link, and a virtual environment."""

    def __init__(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder = folder / "release"
        self.env = folder / "env"
        self.packages = self.env / "lib/python3.12/site-packages"
        for name in ("app.py", "deep/db.py"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).touch()
        (self.packages / "grpcio-1.0.dist-info").mkdir(parents=True)
        (self.env / "bin").mkdir()
        (self.env / "bin/python").touch()
        (folder / "current").symlink_to(self.folder)
        self.link = folder / "current"
        self._caplog = caplog
        python = str(self.env / "bin/python")
        self.sources = Sources(
            Generation(3, "app:app", Config(), str(self.link), str(self.folder), python, python)
        )

    def told(self) -> list[str]:
        """What is said of hub 1, which starts again."""
        self.sources._before.get()
        self._caplog.clear()
        self.sources._tell(1)
        return self.lines

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def release(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Release:
    caplog.set_level(logging.INFO)
    release = Release(tmp_path.resolve(), caplog)
    release.told()
    return release


def changed(what: str) -> list[str]:
    return [f"hub 1 runs files that have changed since generation 3 began: {what}{ADVICE}"]


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def test_of_the_same_files_nothing_is_said(release: Release) -> None:
    (release.folder / "notes.txt").touch()
    (release.folder / "__pycache__").mkdir()
    (release.folder / "__pycache__/app.pyc").touch()
    assert release.told() == []


def test_a_file_that_was_overwritten_is_named(release: Release) -> None:
    touch(release.folder / "deep/db.py")
    assert release.told() == changed("deep/db.py")
    assert release.told() == changed("deep/db.py"), "each hub that starts says so"


def test_so_is_one_that_came_or_went_but_not_all_of_many(release: Release) -> None:
    (release.folder / "app.py").unlink()
    assert release.told() == changed("app.py")
    for number in range(5):
        (release.folder / f"b{number}.py").touch()
    assert release.told() == changed("app.py, b0.py, b1.py and 3 more")


def test_a_package_that_was_installed_is_named(release: Release) -> None:
    (release.packages / "grpcio-1.0.dist-info").rename(release.packages / "grpcio-1.1.dist-info")
    names = ", ".join(str(release.packages / f"grpcio-1.{each}.dist-info") for each in (0, 1))
    assert release.told() == changed(names)


def test_where_the_directory_has_gone_it_is_said_what_there_is_instead(release: Release) -> None:
    release.folder.rename(release.folder.with_name("kept"))
    release.link.unlink()
    release.link.symlink_to("kept")
    instead = f"{release.link}, since {release.folder} has gone"
    assert release.told() == [f"hub 1 runs what there is now: {instead}{ADVICE}"]


@pytest.mark.parametrize(("limit", "value"), [("MOST", 1), ("LONGEST", -1.0)])
def test_of_a_tree_that_is_too_large_nothing_is_known(
    release: Release, monkeypatch: pytest.MonkeyPatch, limit: str, value: Any
) -> None:
    monkeypatch.setattr(module, limit, value)
    touch(release.folder / "app.py")
    assert release.told() == []


def test_it_is_looked_for_beside_all_else(release: Release) -> None:
    touch(release.folder / "app.py")
    release.sources.tell(1)
    assert release.lines == [], "not in the step in which the hub is started"
    until(lambda: release.lines == changed("app.py"), sleep=gevent.sleep)
