"""Unix sockets that listen at a path: who may have it, with which permissions, and who removes its file."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from actorrpc.errors import ConfigError
from actorrpc.net import unix_sockets
from actorrpc.net.unix_sockets import SocketFile, listen_at
from tests.support.processes import environment
from tests.support.waiting import PATIENCE


@pytest.fixture
def path() -> Iterator[str]:
    with TemporaryDirectory(prefix="actorrpc-") as folder:  # short
        yield f"{folder}/socket"


def listening(path: str, kind: int = socket.SOCK_STREAM, backlog: int = 8) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(path)
    if kind == socket.SOCK_STREAM:
        sock.listen(backlog)
    return sock


def connected(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


def test_it_listens_and_its_file_goes(path: str) -> None:
    sock, file = listen_at(path, None, 8)
    with sock:
        assert connected(path)
        file.remove()
        assert not os.path.lexists(path)


def test_one_at_which_nobody_listens_is_replaced(path: str) -> None:
    listening(path).close()
    assert os.path.exists(path)
    sock, file = listen_at(path, None, 8)
    with sock:
        assert connected(path)
        file.remove()


def test_where_somebody_listens_nothing_is_touched(path: str) -> None:
    with listening(path):
        before = os.lstat(path)
        with pytest.raises(ConfigError, match="somebody listens there"):
            listen_at(path, None, 8)
        assert os.path.samestat(before, os.lstat(path)) and connected(path)


def test_nor_where_its_queue_is_full(path: str) -> None:
    with listening(path, backlog=0) as other, socket.socket(socket.AF_UNIX) as first:
        first.connect(path)
        with socket.socket(socket.AF_UNIX) as second:
            second.setblocking(False)
            assert second.connect_ex(path) != 0, "the queue is full"
        with pytest.raises(ConfigError, match="somebody listens there"):
            listen_at(path, None, 8)
        other.accept()[0].close()


def test_nor_where_it_is_of_another_kind(path: str) -> None:
    with listening(path, socket.SOCK_DGRAM), pytest.raises(ConfigError, match="somebody listens there"):
        listen_at(path, None, 8)


@pytest.mark.parametrize("make", [lambda path: path.touch(), lambda path: path.mkdir(),
                                  lambda path: path.symlink_to("nowhere")])  # fmt: skip
def test_what_is_no_socket_is_left_alone(path: str, make: Callable[[Path], None]) -> None:
    make(Path(path))
    with pytest.raises(ConfigError, match="there is a file which is no socket"):
        listen_at(path, None, 8)
    assert os.path.lexists(path)


def test_a_folder_that_is_missing(path: str) -> None:
    with pytest.raises(FileNotFoundError):
        listen_at(f"{path}/there", None, 8)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_permissions_are_those_wanted_before_anybody_can_connect(
    path: str, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    chmod = os.chmod

    def watched(path: str, mode: int) -> None:
        seen.append(connected(path))
        chmod(path, mode)
        seen.append(connected(path))

    monkeypatch.setattr(unix_sockets.os, "chmod", watched)
    sock, file = listen_at(path, mode, 8)
    with sock:
        assert stat.S_IMODE(os.lstat(path).st_mode) == mode
        assert seen == [False, False] and connected(path)
        file.remove()


def test_without_a_wish_the_umask_decides(path: str) -> None:
    before = os.umask(0o027)
    try:
        sock, file = listen_at(path, None, 8)
    finally:
        os.umask(before)
    with sock:
        assert stat.S_IMODE(os.lstat(path).st_mode) == 0o750
        file.remove()


def test_a_file_of_another_server_is_not_removed(path: str) -> None:
    sock, file = listen_at(path, None, 8)
    with sock:
        os.unlink(path)
        with listening(path):
            file.remove()
            assert connected(path), "it is another one's now"
        os.unlink(path)
        file.remove()  # and nothing is no error


def test_a_child_does_not_remove_it(path: str) -> None:
    sock, file = listen_at(path, None, 8)
    with sock:
        SocketFile(path, file.device, file.inode, pid=os.getpid() + 1).remove()
        assert connected(path)
        file.remove()


def test_of_many_that_start_at_once_one_listens(path: str) -> None:
    """And it is the one that clients reach."""
    listening(path).close()
    listens, refused = [], []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        try:
            listens.append(listen_at(path, None, 8))
        except ConfigError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ((sock, file),) = listens
    with sock:
        assert refused == ["somebody listens there"] * 7
        sock.settimeout(PATIENCE)
        assert connected(path)
        sock.accept()[0].close()
        file.remove()


def test_a_lock_that_is_never_given_back(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unix_sockets, "PATIENCE", 0.0)
    monkeypatch.setattr(unix_sockets, "_locked", lambda lock: False)
    with pytest.raises(ConfigError, match=r"another process keeps .* locked"):
        listen_at(path, None, 8)
    assert not os.path.exists(path)


STRANGER = """
import os, sys
from actorrpc.errors import ConfigError
from actorrpc.net.listening import open_addresses
os.setgid(65534), os.setuid(65534)
try:
    with open_addresses([f"unix:{sys.argv[1]}"]):
        print("listens")
except ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(
    ("folder_mode", "socket_mode", "told"),
    [
        (0o755, None, "Permission denied"),
        (0o733, None, "listens"),  # it may write there, and not read
        (0o777, 0o600, "there is a socket which this user may not connect to"),
    ],
)
def test_another_user(path: str, folder_mode: int, socket_mode: int | None, told: str) -> None:
    sock = file = None
    if socket_mode is not None:
        sock, file = listen_at(path, socket_mode, 8)
    os.chmod(os.path.dirname(path), folder_mode)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER, path],
        env=environment(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.stdout.strip() in (told, f"cannot listen on unix:{path}: {told}"), done.stderr
    if sock is not None and file is not None:
        assert connected(path)
        file.remove()
        sock.close()
