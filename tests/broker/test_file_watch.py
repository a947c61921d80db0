"""Seeing that an app's files have changed."""

from __future__ import annotations

import os
from pathlib import Path

import gevent
import pytest
from gevent.queue import Queue

from actorrpc.broker.deploying import file_watch
from actorrpc.broker.deploying.file_watch import FileWatch, python_files
from tests.support.waiting import PATIENCE


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_watch, "LOOK", 0.01)


def found(directory: Path) -> set[str]:
    return {os.path.relpath(path, directory) for path, _ in python_files(str(directory))}


def test_python_files_are_the_apps_own(tmp_path: Path) -> None:
    for name in (
        "a.py",
        "b/c.py",
        "b/notes.txt",
        ".git/d.py",
        "__pycache__/e.py",
        "env/lib/f.py",
        "node_modules/g.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert found(tmp_path) == {"a.py", "b/c.py"}
    assert found(tmp_path / "nowhere") == set()


def test_what_changes_comes_or_goes_is_told(tmp_path: Path) -> None:
    file, other = tmp_path / "a.py", tmp_path / "b.py"
    file.touch()
    told: Queue[None] = Queue()
    with FileWatch(str(tmp_path), lambda: told.put(None) or True):
        gevent.sleep(0.05)
        assert told.empty()
        os.utime(file, ns=(1, 1))
        told.get(timeout=PATIENCE)
        other.touch()
        told.get(timeout=PATIENCE)
        other.unlink()
        told.get(timeout=PATIENCE)
    os.utime(file, ns=(2, 2))
    gevent.sleep(0.05)
    assert told.empty()


def test_it_is_told_again_while_nothing_can_be_done_about_it(tmp_path: Path) -> None:
    answers = [False, False, True]
    told: Queue[bool] = Queue()

    def changed() -> bool:
        told.put(answer := answers.pop(0))
        return answer

    with FileWatch(str(tmp_path), changed):
        gevent.sleep(0.03)
        (tmp_path / "a.py").touch()
        assert [told.get(timeout=PATIENCE) for _ in range(3)] == [False, False, True]
        gevent.sleep(0.05)
    assert told.empty() and not answers
