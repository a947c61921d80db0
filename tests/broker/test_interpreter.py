"""By which path hubs' interpreter is found again when a link in it has been switched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from actorrpc.broker.deploying.generation import Generation
from actorrpc.broker.deploying.interpreter import given_interpreter, where_it_leads
from actorrpc.config import Config


class Place:
    """Two releases, each with a virtual environment, an interpreter of the machine's, and ``current``, a link
    to the first release."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        for name in ("1/venv/bin", "2/venv/bin", "usr/bin"):
            (folder / name).mkdir(parents=True)
        (folder / "usr/bin/python3.12").touch()
        for release in ("1", "2"):
            for name in ("python", "python3.12"):
                (folder / release / "venv/bin" / name).symlink_to(folder / "usr/bin/python3.12")
        self.switch("1")

    def switch(self, to: str) -> None:
        (self.folder / "next").symlink_to(to)
        (self.folder / "next").replace(self.folder / "current")

    def run(self, executable: str, command: str, *, environment: bool = True) -> None:
        """What Python says in a process; ``~`` is the folder."""
        base = self.folder / "usr"
        prefix = (self.folder / executable).parents[1] if environment else base
        self._monkeypatch.setattr(sys, "executable", str(self.folder / executable))
        self._monkeypatch.setattr(sys, "argv", [command.replace("~", str(self.folder)), "serve"])
        self._monkeypatch.setattr(sys, "base_prefix", str(base))
        self._monkeypatch.setattr(sys, "prefix", str(prefix))

    def given(self, directory: str = "current") -> str:
        found = Path(given_interpreter(str(self.folder / directory)))
        return str(found.relative_to(self.folder))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path.resolve(), monkeypatch)


@pytest.mark.parametrize(
    ("executable", "command", "directory"),
    [
        pytest.param("1/venv/bin/python3.12", "~/current/venv/bin/actorrpc", "else", id="a command's path"),
        pytest.param("1/venv/bin/python", "venv/bin/actorrpc", "current", id="a command's relative path"),
        pytest.param(
            "1/venv/bin/python", "~/1/venv/bin/actorrpc", "current", id="found by an activated PATH"
        ),
        pytest.param("1/venv/bin/python", "~/current/venv/bin/actorrpc", "1", id="nothing has set PWD"),
        pytest.param("1/venv/bin/python", "current/venv/bin/actorrpc", ".", id="from the folder above"),
        pytest.param("1/venv/bin/python", "~/1/x/actorrpc/__main__.py", "current", id="-m, in the directory"),
        pytest.param("current/venv/bin/python", "~/x/__main__.py", "current", id="-m, by an absolute path"),
        pytest.param("current/venv/bin/python", "~/x/__main__.py", "else", id="-m, from elsewhere"),
    ],
)
def test_the_link_is_kept(place: Place, executable: str, command: str, directory: str) -> None:
    place.run(executable, command)
    assert place.given(directory) == "current/venv/bin/python"


@pytest.mark.parametrize("command", ["~/usr/bin/actorrpc", "~/1/server.py"])
def test_an_interpreter_that_is_no_environments_keeps_its_name(place: Place, command: str) -> None:
    """Beside it may be others, of other versions."""
    place.run("usr/bin/python3.12", command, environment=False)
    assert place.given() == "usr/bin/python3.12"


def test_of_an_environment_elsewhere_it_is_what_python_says(place: Place) -> None:
    place.run("2/venv/bin/python3.12", "~/1/server.py")
    assert place.given("1") == "2/venv/bin/python3.12"


def test_without_a_link_it_is_the_environments_own(place: Place) -> None:
    place.run("1/venv/bin/python3.12", "venv/bin/actorrpc")
    assert place.given("1") == "1/venv/bin/python", "which may be made anew, of another version"


def test_it_leads_to_the_environment_and_not_to_what_that_is_made_of(place: Place) -> None:
    current = str(place.folder / "current/venv/bin/python")
    assert where_it_leads(current) == str(place.folder / "1/venv/bin/python")
    place.switch("2")
    assert where_it_leads(current) == str(place.folder / "2/venv/bin/python")


def test_a_generation_keeps_its_own_while_it_is_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder / "current")
    monkeypatch.setenv("PWD", str(place.folder / "current"))
    place.run("1/venv/bin/python", "venv/bin/actorrpc")
    first = Generation.first("app:app", Config())
    place.switch("2")
    assert first.python == str(place.folder / "1/venv/bin/python")
    second = first.next(2, first.config)
    assert second.python == str(place.folder / "2/venv/bin/python")
    (place.folder / "1/venv/bin/python").unlink()
    assert first.python == str(place.folder / "current/venv/bin/python")
    assert second.next(3, first.config).python == second.python
