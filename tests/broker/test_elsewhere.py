"""What the command line says where it finds no broker, or must not ask it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actorrpc.broker.admin import elsewhere
from actorrpc.broker.admin.ask import ask, stop
from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.errors import ConfigError
from actorrpc.pb.admin_pb2 import Request

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


@contextmanager
def nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that everybody can see, in which all default directories are."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    patterns = (f"{folder}/actorrpc-*", f"{folder}/user/*/actorrpc")
    monkeypatch.setattr(elsewhere, "_DEFAULTS", patterns)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "xdg"))
    yield folder
    shutil.rmtree(folder)


def refusal(path: str | None = None) -> str:
    """What every question is answered with."""
    said = set()
    for question in (
        lambda: ask(RuntimeDir(path), Request(status=Request.Status()), 10),
        lambda: stop(RuntimeDir(path)),
    ):
        with pytest.raises(ConfigError) as caught:
            question()
        said.add(str(caught.value))
    (line,) = said
    assert "\n" not in line
    return line


def own(home: Path, name: str = "actorrpc-{}") -> Path:
    return home / name.format(os.geteuid())


ANY = (
    "if it was started with another --runtime-dir or $XDG_RUNTIME_DIR, or by another user, give --runtime-dir"
)


def test_where_it_looked_is_said(home):
    where = f"no broker runs in {home}/xdg/actorrpc (from $XDG_RUNTIME_DIR); "
    assert refusal() == where + ANY
    assert refusal(str(home)) == f"no broker runs in {home}"


def test_that_the_variable_is_not_set_is_said(monkeypatch, home):
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr("actorrpc.broker.host.runtime_dir.default_path", lambda: str(home / "none"))
    assert refusal() == f"no broker runs in {home}/none ($XDG_RUNTIME_DIR is not set); {ANY}"


@pytest.mark.parametrize("name", ["actorrpc-{}", "user/{}/actorrpc"])
def test_ones_own_broker_elsewhere_is_named(home, name):
    path = own(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with RuntimeDir(str(path)).claim() as claim:
        claim.announce(0)
        assert refusal().endswith(f"; one runs in {path} (pid {os.getpid()}): give --runtime-dir {path}")
    assert refusal().endswith(ANY)


def test_a_directory_without_a_broker_is_not_named(home):
    own(home).mkdir()
    (home / "actorrpc-x").mkdir()
    (home / f"actorrpc-{os.geteuid() + 1}").mkdir()  # not that user's
    assert refusal().endswith(ANY)


@as_root
def test_another_users_is_named(home):
    path = home / f"actorrpc-{NOBODY}"
    path.mkdir(0o700)
    os.chown(path, NOBODY, -1)
    assert refusal().endswith(f"; {path} is that of nobody: as nobody, give --runtime-dir {path}")


@as_root
def test_another_users_that_was_made_to_hang_whoever_looks_is_not_looked_into(home):
    path = home / f"actorrpc-{NOBODY}"
    path.mkdir(0o700)
    os.mkfifo(path / "broker.lock")
    os.chown(path, NOBODY, -1)
    assert f"as nobody, give --runtime-dir {path}" in refusal()


@as_root
def test_a_directory_that_is_closed_to_us_is_told_from_none(home):
    path = own(home)
    with RuntimeDir(str(path)).claim() as claim, claim.open_socket():
        claim.announce(0)
        with nobody():
            denied = f"permission denied in {path}: {path} belongs to root. Run this as root, or name another"
            assert refusal(str(path)).startswith(denied)


@as_root
def test_so_is_one_below_what_is_closed_to_us(home):
    (home / "xdg").mkdir(0o700)
    with nobody():
        path = f"{home}/xdg/actorrpc"
        denied = f"permission denied in {path} (from $XDG_RUNTIME_DIR): {home}/xdg belongs to root. Run this"
        assert refusal().startswith(denied)
        with pytest.raises(
            ConfigError, match=r"Permission denied \(from \$XDG_RUNTIME_DIR\); name another wi"
        ):
            RuntimeDir().claim()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_so_is_ones_own_that_is_closed(home):
    path = own(home)
    path.mkdir(0o000)
    assert refusal(str(path)).startswith(f"permission denied in {path}: {path} belongs to ")


def test_a_user_without_a_name():
    assert elsewhere._user(3_000_000_000) == "user 3000000000"
