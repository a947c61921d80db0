"""Starting programs on a core of their own, and ending them whatever happens."""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, NamedTuple, NoReturn

__all__ = [
    "BenchmarkError",
    "Cores",
    "Server",
    "allow_descriptors",
    "end_on_sigterm",
    "on_core",
    "pin",
    "python",
    "run",
    "server",
]

_ROOT = Path(__file__).resolve().parents[1]
_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10.0


class BenchmarkError(Exception):
    """A measurement that cannot be made, or that would not mean what it says."""


class Cores(NamedTuple):
    """The cores that servers and clients run on; None where there is only one to run on."""

    server: int | None
    client: int | None

    @classmethod
    def choose(cls) -> Cores:
        """The last and the first of the cores that this process may use."""
        usable = sorted(os.sched_getaffinity(0))
        return cls(usable[-1], usable[0]) if len(usable) > 1 else cls(None, None)

    def __str__(self) -> str:
        if self.server is None:
            return "one core, which server and client share: they compete for it and for its caches"
        return f"server on core {self.server}, client on core {self.client}"


class Server(NamedTuple):
    """A server that listens."""

    pid: int
    address: str
    #: Where its clients speak TLS; "": nowhere.
    tls_address: str = ""


@contextmanager
def server(module: str, core: int | None = None, *arguments: str) -> Iterator[Server]:
    """Run a program of benchmarks/servers from its ready line to the end of the block.

    It runs on one core if that is given. It is told to end by the end of its standard input, which also
    comes if this process dies, and killed if it does not obey. Raises BenchmarkError if it does not get
    ready.
    """
    with on_core(core):
        process = subprocess.Popen(
            python(f"benchmarks.servers.{module}", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for us: we end it
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield Server(process.pid, *_ready(process.stdout, module))
    finally:
        process.stdin.close()
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def run(command: Sequence[str], core: int | None = None, *, timeout: float) -> str:
    """Run a client, on one core if that is given, and return what it printed.

    Raises BenchmarkError, with what it said, if it fails or has not ended after ``timeout`` seconds.
    """
    environment = _environment()
    try:
        with on_core(core):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{' '.join(command)} has not ended after {timeout:.0f} s") from None
    if done.returncode:
        raise BenchmarkError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def allow_descriptors(count: int) -> None:
    """Let this process, and those that it starts, have ``count`` open files. Raises BenchmarkError if not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= count:
        return
    if hard != unlimited and hard < count:
        raise BenchmarkError(f"it takes {count} open files, and ulimit -Hn allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def end_on_sigterm() -> None:
    """Make SIGTERM an exception, so that what was started is ended."""

    def leave(number: int, frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _environment() -> dict[str, str]:
    """Programs find this package, whatever folder we were started in."""
    path = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *([path] if path else [])])}


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started in the block runs on the core, all its threads from their first instruction."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, core: int) -> None:
    """Have all threads of a process run on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def _ready(output: IO[bytes], module: str) -> list[str]:
    """Wait for the line ``ready ADDRESS``, or with a second address for TLS, and return the addresses."""
    line = b""
    deadline = monotonic() + _START_TIMEOUT
    while not line.endswith(b"\n"):
        if not select.select([output], [], [], max(0.0, deadline - monotonic()))[0]:
            raise BenchmarkError(f"{module} is not ready after {_START_TIMEOUT:.0f} s")
        received = os.read(output.fileno(), 1024)
        if not received:
            raise BenchmarkError(f"{module} has ended before it was ready; see above for why")
        line += received
    word, *addresses = line.decode().split()
    if word != "ready" or len(addresses) not in (1, 2):
        raise BenchmarkError(f"{module} said {line!r} instead of ready ADDRESS")
    return addresses
