"""Ways in which a program starts a child, and what the child then does until it is told to end."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import gevent.os
from gevent.monkey import get_original

from tests.support.waiting import until

_raw_fork: Callable[[], int] = get_original("os", "fork")

#: What each way has started, for as long as this process lives.
started: list[Any] = []

#: The child waits so that gevent's loop may run meanwhile, or so that nothing else of it can.
MANNERS = ("cooperates", "blocks")


def live(folder: str, manner: str) -> None:
    """The child's life: it writes its pid, and waits until somebody writes ``stop``."""
    path = Path(folder)
    (path / "writing").write_text(str(os.getpid()))
    (path / "writing").rename(path / "pid")
    usleep = ctypes.CDLL(None).usleep
    while not (path / "stop").exists():
        if manner == "blocks":
            usleep(10_000)
        else:
            gevent.sleep(0.01)


def _child_of(fork: Callable[[], Any]) -> Callable[[str, str], None]:
    def way(folder: str, manner: str) -> None:
        if fork() in (0, (0, -1)):
            live(folder, manner)
            os._exit(0)

    return way


def _forkpty() -> int:
    pid, fd = os.forkpty()
    started.append(fd)
    return pid


def _pty_fork() -> int:
    pid, fd = pty.fork()
    started.append(fd)
    return pid


def _greenlet(folder: str, manner: str) -> None:
    gevent.spawn(_child_of(os.fork), folder, manner).join()


def _pool_thread(folder: str, manner: str) -> None:
    gevent.get_hub().threadpool.apply(_child_of(_raw_fork), (folder, manner))


def _thread(folder: str, manner: str) -> None:
    start: Callable[..., int] = get_original("_thread", "start_new_thread")
    start(_child_of(_raw_fork), (folder, manner))


def _timer(folder: str, manner: str) -> None:
    """In the hub's own greenlet, as the ``__init__`` of an actor runs."""
    gevent.get_hub().loop.timer(0).start(_child_of(os.fork), folder, manner)


def _process(method: str) -> Callable[[str, str], None]:
    def way(folder: str, manner: str) -> None:
        process = multiprocessing.get_context(method).Process(target=live, args=(folder, manner))  # type: ignore[attr-defined]
        process.start()
        started.append(process)

    return way


def _executor(method: str) -> Callable[[str, str], None]:
    def way(folder: str, manner: str) -> None:
        executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method))
        started.extend((executor, executor.submit(live, folder, manner)))

    return way


def _pool(method: str) -> Callable[[str, str], None]:
    def way(folder: str, manner: str) -> None:
        pool = multiprocessing.get_context(method).Pool(1)
        started.extend((pool, pool.apply_async(live, (folder, manner))))

    return way


def _subprocess(folder: str, manner: str) -> None:
    command = [sys.executable, "-c", f"from tests.forks.ways import live; live({folder!r}, {manner!r})"]
    started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))


def _preexec(folder: str, manner: str) -> None:
    """The parent waits for it cooperatively: it has not started the program yet."""
    gevent.spawn(subprocess.Popen, ["true"], preexec_fn=lambda: live(folder, manner))


def _posix_spawn(folder: str, manner: str) -> None:
    program = f"from tests.forks.ways import live; live({folder!r}, {manner!r})"
    os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ)


def _grandchild(folder: str, manner: str) -> None:
    if os.fork() == 0:
        if os.fork() == 0:
            live(folder, manner)
        os._exit(0)


#: By name; each calls ``live(folder, manner)`` in a child, and comes back in the parent.
WAYS: dict[str, Callable[[str, str], None]] = {
    "os.fork": _child_of(lambda: os.fork()),
    "fork_and_watch": _child_of(gevent.os.fork_and_watch),
    "unpatched": _child_of(_raw_fork),
    "os.forkpty": _child_of(_forkpty),
    "pty.fork": _child_of(_pty_fork),
    "greenlet": _greenlet,
    "pool thread": _pool_thread,
    "thread": _thread,
    "timer": _timer,
    "grandchild": _grandchild,
    "Process fork": _process("fork"),
    "Process spawn": _process("spawn"),
    "Process forkserver": _process("forkserver"),
    "executor fork": _executor("fork"),
    "executor spawn": _executor("spawn"),
    "executor forkserver": _executor("forkserver"),
    "Pool fork": _pool("fork"),
    "Pool spawn": _pool("spawn"),
    "Pool forkserver": _pool("forkserver"),
    "subprocess": _subprocess,
    "preexec_fn": _preexec,
    "posix_spawn": _posix_spawn,
}


class Child:
    """A child that lives in ``folder``, as a test sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = 0

    def wait(self) -> int:
        """Its pid, once it is there."""
        until((self.folder / "pid").exists)
        self.pid = int((self.folder / "pid").read_text())
        return self.pid

    def descriptors(self) -> dict[int, str]:
        """What its descriptors are, such as ``socket:[4711]``."""
        return descriptors(self.pid)

    @property
    def alive(self) -> bool:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return False
        return stat.rpartition(")")[2].split()[0] not in "ZX"

    def end(self) -> None:
        """End it: a worker of a pool would wait for more to do."""
        (self.folder / "stop").touch()
        if self.pid and self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self.finish()

    def finish(self) -> None:
        """Let it come to its own end, and wait for that."""
        (self.folder / "stop").touch()
        until(lambda: not (self.pid and self.alive))


def descriptors(pid: int) -> dict[int, str]:
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass  # closed meanwhile
    return found
