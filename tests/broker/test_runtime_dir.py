"""The runtime directory: who may have it, and what is left in it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actorrpc.broker.host.runtime_dir import Holder, RuntimeDir, default_path
from actorrpc.errors import ConfigError
from tests.support.processes import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run"


@contextmanager
def holding(program: str) -> Iterator[int]:
    """Another process, which has run ``program`` and lives on; gives its pid, and kills it in the end."""
    command = f"{program}\nprint('holding', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        yield process.pid
        process.kill()


def held_by_broker(path: Path) -> str:
    return (
        "from actorrpc.broker.host.runtime_dir import RuntimeDir\n"
        f"claim = RuntimeDir({str(path)!r}).claim()\n"
        "claim.announce(1.5)\n"
        "sock = claim.open_socket()"
    )


def held_by_hub(path: Path, hub: int) -> str:
    file = str(path / f"hub-{hub}.pid")
    return (
        "import fcntl, os\n"
        f"file = open({file!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print(os.getpid(), file=file, flush=True)"
    )


def test_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert default_path() == "/run/user/7/actorrpc"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert default_path() == f"/tmp/actorrpc-{os.geteuid()}"


def test_it_is_made_for_us_alone_and_removed(path: Path) -> None:
    directory = RuntimeDir(str(path))
    with directory.claim() as claim:
        claim.announce(2.5)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert directory.holder() == Holder(os.getpid(), 2.5)
        with claim.open_socket():
            assert stat.S_IMODE((path / "broker.sock").stat().st_mode) == 0o600
    assert not path.exists()
    assert directory.holder() is None


def test_a_directory_that_was_there_stays_without_our_files(path: Path) -> None:
    path.mkdir(0o700)
    (path / "theirs").write_text("")
    with RuntimeDir(str(path)).claim() as claim:
        claim.open_socket().close()
        os.close(claim.open_hub_file(3))
    assert [entry.name for entry in path.iterdir()] == ["theirs"]


def test_a_directory_that_we_made_stays_if_somebody_uses_it(path: Path) -> None:
    with RuntimeDir(str(path)).claim():
        (path / "theirs").write_text("")
    assert [entry.name for entry in path.iterdir()] == ["theirs"]


def test_a_live_broker_is_named(path: Path) -> None:
    with holding(held_by_broker(path)) as pid:
        assert RuntimeDir(str(path)).holder() == Holder(pid, 1.5)
        with pytest.raises(ConfigError, match=rf"run is in use by a live broker \(pid {pid}\): name ano"):
            RuntimeDir(str(path)).claim()


def test_two_claims_of_one_process(path: Path) -> None:
    with RuntimeDir(str(path)).claim(), pytest.raises(ConfigError, match="in use by a live broker"):
        RuntimeDir(str(path)).claim()


def test_what_a_dead_broker_left_is_taken_over(path: Path) -> None:
    with holding(held_by_broker(path)) as pid:
        pass
    directory = RuntimeDir(str(path))
    assert directory.holder() is None
    assert directory.last_holder() == Holder(pid, 1.5)
    with directory.claim() as claim:
        claim.announce(0)
        with claim.open_socket(), socket.socket(socket.AF_UNIX) as client:
            client.connect(directory.socket_path)


def test_a_holder_may_have_another_drain_timeout(path: Path) -> None:
    directory = RuntimeDir(str(path))
    with directory.claim() as claim:
        claim.announce(1.5)
        for timeout in (1234.5, 2.0, 60.25):
            claim.tell(timeout)
            assert directory.holder() == Holder(os.getpid(), timeout)


def test_the_living_hubs_of_a_dead_broker_are_left_as_they_are(path: Path) -> None:
    path.mkdir(0o700)
    (path / "hub-0.pid").write_text(f"{os.getpid()}\n")  # a recycled pid, but no lock
    (path / "hub-x.pid").write_text("")
    directory = RuntimeDir(str(path))
    assert directory.living_hubs() == {}
    with holding(held_by_hub(path, 11)) as pid:
        assert directory.living_hubs() == {11: pid}
        assert re.search(rf"\(pids {pid}\).*actorrpc stop --run", directory.describe_orphans())
        with directory.claim() as claim:
            claim.announce(1)
        assert (path / "hub-11.pid").exists()
    with directory.claim() as claim:
        claim.announce(1)


def test_a_hub_file_is_locked_for_whoever_has_it(path: Path) -> None:
    directory = RuntimeDir(str(path))
    with directory.claim() as claim:
        first = claim.open_hub_file(0)
        assert directory.living_hubs() == {0: 0}
        os.write(first, f"{os.getpid()}\n".encode())
        assert directory.living_hubs() == {0: os.getpid()}
        heir = os.dup(first)
        os.close(first)
        assert directory.living_hubs() == {0: os.getpid()}
        # A child of the dead hub may still hold the old file: the next process has a new one.
        second = claim.open_hub_file(0)
        os.close(second)
        assert directory.living_hubs() == {}
        os.close(heir)


def test_a_lock_that_a_forked_child_holds_is_no_living_hub(path: Path) -> None:
    path.mkdir(0o700)
    with holding(held_by_hub(path, 0)), holding("") as gone:
        assert RuntimeDir(str(path)).living_hubs().keys() == {0}
        (path / "hub-0.pid").write_text(f"{gone}\n")
        assert RuntimeDir(str(path)).living_hubs() == {0: gone}
    with holding(held_by_hub(path, 0)):
        (path / "hub-0.pid").write_text(f"{gone}\n")
        assert RuntimeDir(str(path)).living_hubs() == {}


def test_a_directory_that_was_tidied_away_is_made_again(path: Path) -> None:
    directory = RuntimeDir(str(path))
    with directory.claim() as claim:
        shutil.rmtree(path)
        os.close(claim.open_hub_file(0))
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert not path.exists()


def test_others_may_not_write_to_it(path: Path) -> None:
    path.mkdir()
    path.chmod(0o770)
    with pytest.raises(ConfigError, match=r"can be written by other users \(mode 770\): chmod 700 it"):
        RuntimeDir(str(path)).claim()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to somebody else")
def test_it_must_be_ours(path: Path, tmp_path: Path) -> None:
    path.mkdir(0o700)
    link = tmp_path / "link"
    link.symlink_to(path)
    os.chown(link, 12345, -1, follow_symlinks=False)
    with pytest.raises(ConfigError, match="link belongs to another user; name another with --runtime-dir"):
        RuntimeDir(str(link)).claim()
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigError, match="run belongs to another user"):
        RuntimeDir(str(path)).claim()


def test_our_own_link_to_our_own_directory_will_do(path: Path, tmp_path: Path) -> None:
    path.mkdir(0o700)
    link = tmp_path / "link"
    link.symlink_to(path)
    with RuntimeDir(str(link)).claim():
        assert (path / "broker.lock").exists()


def test_it_must_be_a_directory(path: Path) -> None:
    path.write_text("")
    with pytest.raises(ConfigError, match="is not a directory"):
        RuntimeDir(str(path)).claim()
    with pytest.raises(ConfigError, match=r"cannot make the runtime directory .*: Not a directory"):
        RuntimeDir(str(path / "below")).claim()


def test_its_parent_must_exist(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot make the runtime directory .*: No such file"):
        RuntimeDir(str(path / "below")).claim()


def test_a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")
    with pytest.raises(ConfigError, match="is a link to nothing"):
        RuntimeDir(str(path)).claim()


def test_its_path_must_fit_a_socket(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 100)
    with pytest.raises(ConfigError, match="too long for a unix socket"):
        RuntimeDir(str(path)).claim()
    assert not path.exists()


def test_the_files_of_keyed_actors_are_made_anew_only_where_nobody_goes_by_them(path: Path) -> None:
    with RuntimeDir(str(path)).claim() as claim:
        claim.make_directory(anew=True)
        folder = Path(claim.directory.actors_path)
        (folder / "journal").write_bytes(b"what hubs go by")
        (folder / "hub-1001.log").touch()
        claim.make_directory(anew=False)
        assert (folder / "journal").read_bytes() == b"what hubs go by"
        claim.make_directory(anew=True)
        assert [each.name for each in folder.iterdir()] == ["journal"]
        assert not (folder / "journal").stat().st_size
    assert not path.exists()


def test_why_there_can_be_no_keyed_actors_is_told(path: Path) -> None:
    with RuntimeDir(str(path)).claim() as claim:
        (path / "directory").write_text("")
        with pytest.raises(ConfigError, match=r"cannot make .*directory: .*; name another with"):
            claim.make_directory(anew=False)
