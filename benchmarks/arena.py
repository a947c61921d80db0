"""Hubs with a policy, and clients whose connections are put in their places before they work."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, NamedTuple

from actorrpc.broker.runtime_dir import RuntimeDir
from benchmarks.broker import Broker
from benchmarks.processes import BenchmarkError, python, server
from benchmarks.trips import percentile

__all__ = ["Arena", "Called", "Workload", "arena"]

#: How long clients may take to connect, and to end after their time.
_CONNECT_TIMEOUT = 60.0
_END_TIMEOUT = 90.0
_MOVE_WINDOW = 8


class Workload(NamedTuple):
    """What the clients do: groups as grpcio_workers.py takes them."""

    groups: Sequence[dict[str, Any]]
    seconds: float


class Called(NamedTuple):
    """What the clients have seen: for each call its group, when it began, and what it took, in seconds."""

    calls: Sequence[tuple[str, float, float]]

    def since(self, second: float) -> Called:
        """The calls that ended after so long."""
        return Called([call for call in self.calls if call[1] + call[2] >= second])

    def of(self, group: str) -> Called:
        return Called([call for call in self.calls if call[0] == group])

    def per_second(self, seconds: float) -> float:
        return len(self.calls) / seconds

    def latency(self, percent: float) -> float:
        """A percentile of what a call took, in seconds."""
        if not self.calls:
            raise BenchmarkError("no call has ended")
        return percentile([took for _, _, took in self.calls], percent)


class Arena:
    """A broker and its hubs, each hub on a core of its own."""

    def __init__(self, address: str, broker: Broker, hubs: int) -> None:
        self.address = address
        self.broker = broker
        self.hubs = hubs
        #: The clients of the hub that had most, over the mean, when they began to work.
        self.skew = 0.0

    def run(
        self,
        workload: Workload,
        place: Callable[[str, int], int | None],
        *,
        rebalance: bool = True,
    ) -> Called:
        """Connect, put each connection where ``place(group, its number in it)`` says, and let them work.

        The policy rests until they begin, and with ``rebalance=False`` all the time.
        """
        self.broker.rebalance("PAUSE")
        command = python("benchmarks.clients.grpcio_workers", self.address, str(workload.seconds))
        command += [json.dumps(group) for group in workload.groups]
        with _running(command) as process:
            assert process.stdin is not None and process.stdout is not None
            peers = json.loads(_line(process, "ready ", _CONNECT_TIMEOUT))
            self._place(peers, place)
            if rebalance:
                self.broker.rebalance("RESUME")
            process.stdin.write(b"go\n")
            process.stdin.flush()
            try:
                out, _ = process.communicate(timeout=workload.seconds + _END_TIMEOUT)
            except subprocess.TimeoutExpired:
                raise BenchmarkError("the clients do not end") from None
        if process.returncode:
            raise BenchmarkError("a client has failed: see above")
        return Called([(group, began, took) for group, began, took in json.loads(out)])

    def _place(self, peers: dict[str, list[str]], place: Callable[[str, int], int | None]) -> None:
        rows = {row["peer"]: row for row in self.broker.connections()}
        moves = []
        for group, addresses in peers.items():
            for number, peer in enumerate(addresses):
                wanted = place(group, number)
                if wanted is not None and wanted != rows[peer]["hub"]:
                    moves.append((rows[peer]["id"], wanted))
        self.broker.move_all(moves, _MOVE_WINDOW)
        on_hub = Counter(({row["id"]: row["hub"] for row in rows.values()} | dict(moves)).values())
        self.skew = max(on_hub.values()) * self.hubs / len(rows)


@contextmanager
def arena(policy: str, hubs: int, *options: str) -> Iterator[Arena]:
    """Start hubs, each pinned to a core if there are as many; nothing is left at the end of the block."""
    with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
        directory = RuntimeDir(os.path.join(folder, "run"))
        arguments = [directory.path, f"--hubs={hubs}", f"--policy={policy}", *options]
        with server("actorrpc_hubs", None, *arguments) as running, Broker(directory.socket_path) as broker:
            _pin([hub["pid"] for hub in broker.status()["hubs"]])
            yield Arena(running.address, broker, hubs)


def _pin(pids: Sequence[int]) -> None:
    """A core for each, from the last one down: the first is the clients', where there are enough."""
    cores = sorted(os.sched_getaffinity(0), reverse=True)
    for pid, core in zip(pids, cores, strict=False):
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})


@contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _line(process: subprocess.Popen[bytes], prefix: str, timeout: float) -> str:
    """What follows the prefix in the line that the process prints next."""
    assert process.stdout is not None
    line = b""
    deadline = monotonic() + timeout
    while not line.endswith(b"\n"):
        left = max(deadline - monotonic(), 0.0)
        if not select.select([process.stdout], [], [], left)[0]:
            raise BenchmarkError(f"the clients are not ready after {timeout:.0f} s")
        received = os.read(process.stdout.fileno(), 1)
        if not received:
            raise BenchmarkError("the clients have ended before they were ready")
        line += received
    text = line.decode()
    if not text.startswith(prefix):
        raise BenchmarkError(f"the clients said {text!r}")
    return text[len(prefix) :]
