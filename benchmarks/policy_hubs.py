"""Hubs with a policy, and clients whose connections are put in their places before they work."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, NamedTuple

from actorrpc.broker.host.runtime_dir import RuntimeDir
from actorrpc.percentile import percentile
from benchmarks.broker_client import BrokerClient
from benchmarks.processes import BenchmarkError, pin, python, server

__all__ = ["Called", "PolicyHubs", "Workload", "policy_hubs"]

#: How long clients may take to connect, and to end after their time.
_CONNECT_TIMEOUT = 60.0
_END_TIMEOUT = 90.0


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


class PolicyHubs:
    """A broker and its hubs, each hub on a core of its own."""

    def __init__(self, address: str, broker: BrokerClient, pids: Sequence[int]) -> None:
        self.address = address
        self.broker = broker
        #: Of the hubs' processes, by hub.
        self.pids = pids
        #: The clients of the hub that had most, over the mean, when they began to work.
        self.skew = 0.0

    def run(self, workload: Workload, place: Callable[[str, int], int | None]) -> Called:
        """Connect each client to the hub that ``place(group, its number in it)`` names, and let them work.

        With None it stays where it comes. The policy rests until they begin.
        """
        command = python("benchmarks.clients.grpcio_workers", self.address, str(workload.seconds))
        for group in workload.groups:
            hubs = [place(group["name"], number) for number in range(group["connections"])]
            pids = [0 if hub is None else self.pids[hub] for hub in hubs]
            command.append(json.dumps({**group, "pids": pids}))
        out = self._drive(command, b"", workload.seconds)
        return Called([(group, began, took) for group, began, took in out])

    def run_open_loop(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Let clients work by a plan, as open_loop.py takes it. Returns what that prints.

        The policy rests until they begin.
        """
        command = python("benchmarks.clients.open_loop", self.address)
        said = json.dumps(plan).encode() + b"\n"
        found: dict[str, Any] = self._drive(command, said, plan["settle"] + plan["seconds"])
        return found

    def _drive(self, command: Sequence[str], first: bytes, seconds: float) -> Any:
        """Say something to a client, and ``go`` when it is ready. Returns the JSON that it prints."""
        self.broker.rebalance("PAUSE")
        with _running(command) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(first)
            process.stdin.flush()
            found = json.loads(_line(process, "ready ", _CONNECT_TIMEOUT))
            with_hub = Counter(pid for pids in found.values() for pid in pids)
            self.skew = max(with_hub.values()) * len(self.pids) / with_hub.total()
            self.broker.rebalance("RESUME")
            process.stdin.write(b"go\n")
            process.stdin.flush()
            try:
                out, _ = process.communicate(timeout=seconds + _END_TIMEOUT)
            except subprocess.TimeoutExpired:
                raise BenchmarkError("the clients do not end") from None
        if process.returncode:
            raise BenchmarkError("a client has failed: see above")
        return json.loads(out)


@contextmanager
def policy_hubs(policy: str, hubs: int, *options: str) -> Iterator[PolicyHubs]:
    """Start hubs, each pinned to a core if there are as many; nothing is left at the end of the block."""
    with TemporaryDirectory(prefix="actorrpc-benchmark-") as folder:
        directory = RuntimeDir(os.path.join(folder, "run"))
        arguments = [directory.path, f"--hubs={hubs}", f"--policy={policy}", *options]
        with (
            server("actorrpc_hubs", None, *arguments) as running,
            BrokerClient(directory.socket_path) as broker,
        ):
            pids = [hub["pid"] for hub in broker.status()["hubs"]]
            # The first core is the clients', where there are enough.
            for pid, core in zip(pids, sorted(os.sched_getaffinity(0), reverse=True), strict=False):
                pin(pid, core)
            yield PolicyHubs(running.address, broker, pids)


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
