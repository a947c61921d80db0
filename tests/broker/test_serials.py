"""Numbers of hubs' processes: none is given twice, whatever becomes of the file that says the last."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorrpc.broker.host import runtime_dir as module
from actorrpc.broker.host.runtime_dir import FIRST_SERIAL, Claim, RuntimeDir
from actorrpc.loop.descriptors import close_now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def claim(path: Path) -> Iterator[Claim]:
    with RuntimeDir(str(path)).claim() as claim:
        yield claim


def test_it_is_written_before_it_is_used(claim: Claim, path: Path) -> None:
    for serial in (FIRST_SERIAL, FIRST_SERIAL + 1):
        assert claim.next_serial() == serial
        assert (path / "serial").read_text() == f"{serial}\n"


@pytest.mark.parametrize("content", [None, "", "12", "-7", "no number"])
def test_the_file_is_lost_while_the_broker_lives(claim: Claim, path: Path, content: str | None) -> None:
    claim.next_serial()
    (path / "serial").unlink()
    if content is not None:
        (path / "serial").write_text(content)
    assert claim.next_serial() == FIRST_SERIAL + 1


def test_the_file_is_lost_while_hubs_of_a_dead_broker_live(claim: Claim, path: Path) -> None:
    """Their links and connections are known by theirs."""
    for _ in range(3):
        close_now(claim.open_hub_file(claim.next_serial()))
    claim.forget_hub(FIRST_SERIAL + 1)
    (path / "serial").unlink()
    (path / f"hub-{'9' * 30}.pid").touch()  # nobody's
    assert Claim(claim.directory, -1, False).next_serial() == FIRST_SERIAL + 3


def test_without_room_to_write_it_none_is_given(
    claim: Claim, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    claim.next_serial()
    with monkeypatch.context() as patched:
        patched.setattr(module.os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            claim.next_serial()
    assert (path / "serial").read_text() == f"{FIRST_SERIAL}\n"
    assert not (path / "serial.new").exists(), "the directory could not be removed in the end"
    assert claim.next_serial() == FIRST_SERIAL + 1


def test_a_file_of_which_the_disk_takes_a_part_is_not_written(tmp_path: Path) -> None:
    """A record that ends too early may be read: as that of a server without hubs, say."""
    program = (
        "import resource, sys; from actorrpc.broker.host.runtime_dir import replace_file; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); replace_file(sys.argv[1], bytes(20))"
    )
    path = tmp_path / "server"
    path.write_bytes(b"before")
    ended = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert ended.returncode == 1 and "File too large" in ended.stderr
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["server"]
